"""Deputize: an operating layer for ongoing AI work."""
