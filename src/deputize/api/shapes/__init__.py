"""What goes in and comes out over HTTP, as shapes with examples: for `/openapi.json`, and for the tests that
hold every answer to them. Nothing of it is imported before somebody asks; answers are written without it."""
