"""Adapters: how operations reach services."""
