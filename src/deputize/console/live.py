"""What changes while somebody looks: sent to every open page as pieces of it, by Server-Sent Events.

One task looks twice a second while anybody listens, and renders what changed once for all of them; so a
page that is open costs next to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from deputize.api.here import Readiness
from deputize.api.problem import Problem
from deputize.api.who import still_in
from deputize.console.page import visiting
from deputize.console.rendering import render
from deputize.store.protocol import View
from deputize.store.telling import read_today
from deputize.system import System

LOOK_EVERY_S = 0.5
TODAY_EVERY = 4
"""The figures of today are looked at with every fourth look."""
BEAT_EVERY = 30
BEATS_MAX = 60
"""After so many a stream ends, and its page asks for it again."""
LISTENERS_MAX = 1_000
PIECES_MAX = 20
"""So many pieces wait for one page; one that reads slower is let go, and comes again by itself."""

BEAT = b": still here\n\n"


@dataclass(eq=False)
class _Listener:
    """An open page: whether its reader is still in, and may let paused work go on; the card that it shows, 0
    for none; and how many beats it has heard."""

    is_in: Callable[[], bool]
    operates: bool
    card: int
    beats: int = 0
    pieces: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(PIECES_MAX))
    gone: bool = False


class Live:
    """Who listens. `readiness` says when the process ends, and every stream with it."""

    def __init__(self, system: System, readiness: Readiness) -> None:
        self._system = system
        self._readiness = readiness
        self._listeners: set[_Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._shown: dict[bool, bytes] = {}
        self._state: tuple[object, ...] = ()

    @property
    def viewers(self) -> int:
        """How many pages listen."""
        return len(self._listeners)

    async def listen(self, card: int, *, operates: bool, is_in: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Pieces for one page as they change; of a card that is shown, that it is answered."""
        if len(self._listeners) >= LISTENERS_MAX:
            yield b"retry: 60000\n\n"
            return
        listener = _Listener(is_in, operates, card)
        self._listeners.add(listener)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look())
        try:
            yield b"retry: 2000\n\n"
            if self._shown:
                yield self._shown[operates]
            while not listener.gone:
                piece = await listener.pieces.get()
                if piece:
                    yield piece
        finally:
            self._listeners.discard(listener)

    # -- looking -----------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Look until nobody listens any more, or the process ends."""
        turn = 0
        try:
            while self._listeners and not self._readiness.stopping.is_set():
                self._tell(turn)
                turn += 1
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._readiness.stopping.wait()
                except TimeoutError:
                    continue
        finally:
            self._task = None
            for listener in [*self._listeners]:
                self._let_go(listener)

    def _tell(self, turn: int) -> None:
        watched = {one.card for one in self._listeners if one.card}
        waiting, closed = self._system.store.read(lambda view: (view.open_cards(), _closed(view, watched)))
        stops = tuple(sorted(self._system.kernel.parts.stops.scopes.items()))
        sentence = self._state[2] if self._state and turn % TODAY_EVERY else self._sentence()
        state = (waiting, stops, sentence)
        if state != self._state:
            self._state = state
            told = {"waiting": waiting, "stops": stops, "sentence": sentence}
            self._shown = {may: self._piece("live.html", may=may, **told) for may in (False, True)}
            for listener in [*self._listeners]:
                self._give(listener, self._shown[listener.operates])
        for listener in [*self._listeners]:
            if listener.card in closed:
                self._give(listener, self._piece("live_card.html", seq=listener.card))
                listener.card = 0
            if turn % BEAT_EVERY == BEAT_EVERY - 1:
                self._give(listener, BEAT)
                listener.beats += 1
                if not listener.is_in() or listener.beats >= BEATS_MAX:
                    self._let_go(listener)

    def _give(self, listener: _Listener, piece: bytes) -> None:
        if listener.pieces.full():
            # Whoever does not read holds no place: it comes again by itself.
            self._listeners.discard(listener)
            listener.gone = True
            return
        listener.pieces.put_nowait(piece)

    def _let_go(self, listener: _Listener) -> None:
        """End a stream; the page asks for it again, and is asked anew who it is."""
        listener.gone = True
        self._give(listener, b"")

    def _sentence(self) -> str:
        now = self._system.time.now_us()
        return str(self._system.store.read(lambda view: read_today(view, now))["sentence"])

    def _piece(self, template: str, **values: object) -> bytes:
        zone, now = self._system.project.settings.zone, self._system.time.now_us()
        lines = self._system.secrets.scrub(render(template, zone, now, values).strip()).splitlines()
        return "".join(f"data: {line}\n" for line in lines).encode() + b"\n"


def _closed(view: View, watched: set[int]) -> set[int]:
    """Those of the watched cards that wait for nobody any more."""
    cards = [view.card(seq) for seq in watched]
    return {card.seq for card in cards if card is not None and card.state != "open"}


def _is_in(request: Request) -> bool:
    try:
        still_in(request)
    except Problem:
        return False
    return True


async def _live(request: Request) -> Response:
    if (stranger := visiting(request, "read")) is not None:
        return stranger
    live: Live = request.app.state.live
    text = request.query_params.get("card", "")
    card = int(text) if text.isdecimal() and len(text) < 19 else 0
    may = request.state.speaker.may("operate")
    pieces = live.listen(card, operates=may, is_in=lambda: _is_in(request))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(pieces, headers=headers, media_type="text/event-stream")


vars(_live)["act"] = "read"
ROUTES = [Route("/live", _live, methods=["GET"])]
