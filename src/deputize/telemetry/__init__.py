"""What is told of a project outside: traces, and lines of what happens. Read from the ledger; nothing depends
on it."""
