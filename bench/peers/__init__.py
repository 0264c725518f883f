"""Other systems on the same work. Each module is a process of its own, run by `.venv-bench`."""
