"""The demo: a small shop's believable days, handled against a practice town that fails on purpose.

It watches from outside: the town through its hall, the product through its HTTP API.
"""

from deputize.demo.command import main

__all__ = ["main"]
