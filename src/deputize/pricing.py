"""Pricing: what one use of an operation may cost, told before it is made, and what it did cost.

All in micro-dollars (a millionth of a US dollar), whole numbers, rounded up.
"""

from __future__ import annotations

from typing import Protocol


class Pricing(Protocol):
    """The price of an operation that depends on its use, as that of a model does."""

    @property
    def terms(self) -> str:
        """What is agreed, for the contract and for people; empty where nobody knows the price."""
        ...

    @property
    def missing(self) -> str:
        """What to add where nobody knows the price."""
        ...

    def worst(self, args: bytes) -> int | None:
        """The most that a use with these stored arguments can cost; None where nobody knows."""
        ...

    def spent(self, stored: bytes) -> int | None:
        """What it did cost, by its stored result; None where that does not say."""
        ...

    def tokens(self, stored: bytes) -> tuple[int, int]:
        """The tokens that went in and came out, by its stored result; 0 where that does not say."""
        ...
