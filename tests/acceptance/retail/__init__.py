"""The retail shop of the acceptance test: a real HTTP service over third-party data kept outside the repo."""
