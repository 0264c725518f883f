"""Stores: where the ledger and its projections live."""
