"""How people come in by a browser: passwords, one-time links, and how often either may be tried."""
