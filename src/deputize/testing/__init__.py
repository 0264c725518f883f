"""What tests of stores, projects and the product itself share; shipped for users' own tests."""
