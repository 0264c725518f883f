"""Plans: steps as data. A model or a person writes one; it is checked whole, and carried out through the
gate."""
