"""The SQLite store: one file, one owner, one writer thread."""
