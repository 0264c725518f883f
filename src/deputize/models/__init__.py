"""Models: reached by their names in `[models.NAME]`, priced before each call, and asked through the gate
alone."""
