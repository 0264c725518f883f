"""The HTTP API: thin routes over the kernel and the store; no logic of its own."""
