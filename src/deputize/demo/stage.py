"""The stage: a town and a server that are kept alive, what is known of both, and one turn of the loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from deputize.clock import Clock
from deputize.demo import balance
from deputize.demo.balance import Check
from deputize.demo.children import Server
from deputize.demo.desk import Desk
from deputize.demo.hall import Hall, TownGone
from deputize.demo.home import DemoError, Home
from deputize.demo.mails import mails_of
from deputize.demo.picture import Frame
from deputize.demo.product import NotThere, Product
from deputize.demo.tale import Tale

LOOK_EVERY_S = 1.0
"""How often the town is asked, and the inbox worked on."""
RATE_OVER_S = 5.0
STALL_S = 60.0
"""Without any progress for this long, an unattended demo gives up and says what is missing."""
SETTLE_S = 15.0
RESTARTS_MAX = 100


class Stage:
    """One demo on its way. `say` is told what people should know at once."""

    def __init__(
        self,
        home: Home,
        hall: Hall,
        server: Server,
        clock: Clock,
        say: Callable[[str], None],
        *,
        days: int,
        per_second: float,
        ends: bool,
        reader: str,
        yourself: bool,
    ) -> None:
        self.tale = Tale()
        self.hall = hall
        self._home = home
        self._server = server
        self._clock = clock
        self._say = say
        self._days = days
        self._per_second = per_second
        self._ends = ends
        self._reader = reader
        self._yourself = yourself
        self._desk = Desk()
        self._product: Product | None = None
        self._rates: deque[tuple[float, int]] = deque()
        self._restarts = 0
        self._look_s = 0.0
        self._settle_s = 0.0
        self._progress: tuple[int, int] = (-1, -1)
        self._progress_s = 0.0

    def turn(self) -> bool:
        """Keep both alive and read both; whether this is the end. Raises `DemoError`."""
        now_s = self._clock.monotonic()
        return self._turn(now_s) or self._stalled(now_s)

    def checks(self) -> list[Check]:
        """What holds now, and what does not."""
        return balance.checks(self.hall.known, self.tale, self._reader)

    def close(self) -> None:
        """Let go of all connections."""
        self._desk.close()
        if self._product is not None:
            self._product.close()

    def frame(self) -> Frame:
        """What there is to see now."""
        known, tale = self.hall.known, self.tale
        now_s = self._clock.monotonic()
        since_s, since = self._rates[0] if self._rates else (now_s, tale.actions)
        return Frame(
            title=f"A small shop · {known.feed.get('name', '')}",
            sent=max(known.sent, len(tale.outcomes)),
            of=known.of,
            answered=len(tale.outcomes),
            states=tale.states(),
            actions=tale.actions,
            actions_per_s=(tale.actions - since) / (now_s - since_s) if now_s > since_s else 0.0,
            refused=tale.refused,
            doubts=tale.doubts,
            doubts_open=tale.doubts_open,
            resolved=tale.resolved,
            faults=known.met(),
            book=known.moved(),
            ledger=tale.moved(),
            book_effects=len(known.book),
            ledger_effects=len(tale.effects),
            cards_answered=tale.cards_answered,
            approvals=tale.approvals,
            approvals_waited_min=round(tale.waited_s / 60, 2),
            reader=self._reader,
            mails=mails_of(known.expected, tale.outcomes, tale.reading),
            starts=tale.starts,
            stories=list(tale.stories),
            hint=self._hint(),
        )

    def _hint(self) -> str:
        console = f"Console: {self._product.url}" if self._product is not None else "Console: in a moment"
        if self._yourself:
            return f"{console} · nobody answers the cards but you. Ctrl-C stops."
        return f"{console} · kill -9 {self._server.pid} (server) or {self.hall.pid} (town). Ctrl-C stops."

    def _turn(self, now_s: float) -> bool:
        try:
            if not self._server.alive:
                self._start_server()
            assert self._product is not None
            self._read(self._product, now_s)
            return self._is_end(now_s)
        except NotThere:
            return False  # the next turn finds it dead, and starts it
        except TownGone:
            self._start_town()
            return False

    def _read(self, product: Product, now_s: float) -> None:
        for entry in product.entries(self.tale.seq):
            self.tale.take(entry)
        self.hall.read_book()  # after the ledger: what that says happened is in here
        self._rates.append((now_s, self.tale.actions))
        while now_s - self._rates[0][0] > RATE_OVER_S:
            self._rates.popleft()
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_EVERY_S
            self.hall.look()
            if not self._yourself:
                self._desk.work(product, self.hall.urls)

    def _is_end(self, now_s: float) -> bool:
        if self._all_answered():
            if not self._ends:
                self._feed(following=True)
                return False
            # The last late effects may still have to land, and to be read.
            self._settle_s = self._settle_s or now_s + SETTLE_S
            known = self.hall.known
            agreed = self.hall.quiet() and not balance.differences(known.book, self.tale.effects)
            return agreed or now_s > self._settle_s
        return False

    def _stalled(self, now_s: float) -> bool:
        progress = (self.tale.seq, self.hall.known.sent)
        if progress != self._progress:
            self._progress, self._progress_s = progress, now_s
        return self._ends and now_s - self._progress_s > STALL_S

    def _all_answered(self) -> bool:
        known, tale = self.hall.known, self.tale
        return (
            bool(known.feed.get("done"))
            and not tale.open
            and all(row["event_id"] in tale.outcomes for row in known.expected)
        )

    def _start_server(self) -> None:
        if self._product is not None:
            self._count_restart("The server has ended; it is started again, and recovers.")
            self._product.close()
        self._home.write_addresses(self.hall.urls)
        self._server.start()
        self._product = Product(self._server.url, self._home.project / "data")
        self._feed()

    def _start_town(self) -> None:
        self._count_restart("The town has ended; it is started again, and its state is as it was.")
        if self.hall.restart():
            self._server.stop()  # it has the addresses of before; the next turn starts it with these

    def _feed(self, *, following: bool = False) -> None:
        assert self._product is not None
        self.hall.feed(self._product.url, self._days, self._per_second, following=following)

    def _count_restart(self, notice: str) -> None:
        self._restarts += 1
        if self._restarts > RESTARTS_MAX:
            raise DemoError(f"town and server ended {RESTARTS_MAX} times; see {self._home.log}")
        self._say(notice)
