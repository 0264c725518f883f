"""The gate for agents that live elsewhere, in the words of the Model Context Protocol.

`tools` and `answers` are plain data and need no library; `server` speaks the protocol by it.
"""
