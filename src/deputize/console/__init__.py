"""Pages for people, rendered here over the same reads and acts as the API."""
