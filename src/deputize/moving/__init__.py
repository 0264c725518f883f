"""Moving a project with its ledger and keys to another place: exactly one copy can start, always."""
