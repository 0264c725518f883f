"""The kernel: what turns nouns into work. It knows protocols, never a concrete adapter."""
