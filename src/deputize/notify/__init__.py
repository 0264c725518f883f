"""Telling people that something waits for them: what is due is decided apart from the sending of it."""
