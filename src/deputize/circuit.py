"""Circuits: whether a connector is worth calling at this moment, from how its latest calls ended. Pure.

Closed, everything goes. Past a rate of failures it opens: then one call alone is let through to try it,
each time after a longer pause, until one succeeds. Times are monotonic seconds, given by whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deputize.call import CallDeclined, CallDrifted, CallFailed, CallNotDone, CallUnknown

PIECES = 10
"""A window is counted in so many pieces, each forgotten as a whole."""

PAUSE_S_MAX = 60.0
TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Terms:
    """When a circuit opens: where more than the share `failures_max` of the calls in the last `window_s`
    failed, of `calls_min` at least. The first pause before it is tried is `pause_s`; each is twice as long
    as the one before, up to a minute."""

    failures_max: float = 0.5
    calls_min: int = 10
    window_s: float = 120.0
    pause_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Circuit:
    """One connector's circuit. `pieces` are those of the window: number, calls, failures of each."""

    terms: Terms
    pieces: tuple[tuple[int, int, int], ...] = ()
    pause_s: float = 0.0
    """The pause before it is tried; 0 while it is closed."""
    try_at_s: float = 0.0
    """When it may be tried."""

    @property
    def is_open(self) -> bool:
        """Whether nothing goes but what tries it."""
        return self.pause_s > 0

    def figures(self, now_s: float) -> tuple[int, int]:
        """The calls in the window, and how many of them failed."""
        kept = self._kept(now_s)
        return sum(calls for _, calls, _ in kept), sum(failures for _, _, failures in kept)

    def heard(self, failed: bool, now_s: float) -> Circuit:
        """After one call more, while it was closed. What was under way as it opened says nothing new."""
        if self.is_open:
            return self
        kept, number = self._kept(now_s), self._number(now_s)
        if kept and kept[-1][0] == number:
            (_, calls, failures), kept = kept[-1], kept[:-1]
        else:
            calls, failures = 0, 0
        after = Circuit(self.terms, (*kept, (number, calls + 1, failures + failed)))
        if failed and after._is_past(now_s):
            return after.opened(now_s)
        return after

    def opened(self, now_s: float) -> Circuit:
        """Open, and to be tried after the first pause."""
        return replace(self, pause_s=self.terms.pause_s, try_at_s=now_s + self.terms.pause_s)

    def tried(self, failed: bool, now_s: float) -> Circuit:
        """After a call that was let through to try it: closed and nothing counted, or a longer pause."""
        if not failed:
            return Circuit(self.terms)
        pause_s = min(self.pause_s * 2, max(PAUSE_S_MAX, self.terms.pause_s))
        return replace(self, pause_s=pause_s, try_at_s=now_s + pause_s)

    def _is_past(self, now_s: float) -> bool:
        calls, failures = self.figures(now_s)
        return calls >= self.terms.calls_min and failures > self.terms.failures_max * calls

    def _number(self, now_s: float) -> int:
        return int(now_s * PIECES / self.terms.window_s)

    def _kept(self, now_s: float) -> tuple[tuple[int, int, int], ...]:
        oldest = self._number(now_s) - PIECES + 1
        if self.pieces and self.pieces[0][0] < oldest:
            return tuple(piece for piece in self.pieces if piece[0] >= oldest)
        return self.pieces


def failing(error: CallFailed) -> bool | None:
    """Whether an outcome says that the service fails; None where it says nothing of that.

    An answer that says no, or one that does not fit, is an answer; one that asks for patience (429) is waited
    for elsewhere; and what our own connector broke was never sent.
    """
    if isinstance(error, CallDeclined | CallDrifted):
        return False
    if isinstance(error, CallNotDone | CallUnknown) and error.status != TOO_MANY:
        return True
    return None
