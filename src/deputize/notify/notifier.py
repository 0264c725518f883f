"""The notifier: tells people what waits for them, in a task of its own that nothing waits for.

What was told is in the ledger's settings, by card, person and channel, in a transaction that follows the
sending: a crash between the two tells it once more, under the same Message-ID, and never not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from deputize.errors import DeputizeError, StoreLost
from deputize.notify.channels import Channel, NotSent, send_within
from deputize.notify.deciding import Card, Message, Plan, Told, due
from deputize.notify.links import Links
from deputize.notify.message import CARDS_SHOWN_MAX, Item, Letter, id_of, letter_of
from deputize.notify.reading import Reach, item_of, new_cards, open_card, open_seqs, still_open
from deputize.notify.settings import NotifySettings
from deputize.person import Directory
from deputize.store.protocol import Store, Tx, View

LOOK_EVERY_S = 5.0
BACK_OFF_S = 5.0
BACK_OFF_S_MAX = 900.0
STOP_S_MAX = 5.0
"""How long a message under way keeps the process from its end: cut off, it would be sent once more."""
SWEEP_MIN = 1_000
TOLD = "told:"


@dataclass(frozen=True)
class Standing:
    """How a channel stands, for people. Times are ledger time; `trouble` is empty while all is well."""

    name: str
    next_at: int | None = None
    last_at: int | None = None
    sent: int = 0
    failures: int = 0
    trouble: str = ""


@dataclass(frozen=True)
class Hold:
    """How often in a row somebody could not be told, why, and when it is tried again."""

    failures: int
    until: int
    reason: str


@dataclass(frozen=True)
class Given:
    """What a notifier works on, all of it made elsewhere. `people` and `now` are asked anew each time,
    `clean` takes secrets out of text, `schemas` are those of results, by operation."""

    store: Store
    settings: NotifySettings
    channels: Mapping[str, Channel]
    links: Links
    zone: ZoneInfo
    people: Callable[[], Directory]
    now: Callable[[], int]
    clean: Callable[[str], str]
    schemas: Mapping[str, str]


class Notifier:
    """Tells people of cards. `on_trouble` is told of each failure (channel, what)."""

    def __init__(self, given: Given) -> None:
        self.on_trouble: Callable[[str, str], None] = lambda channel, what: None
        self.on_turn: Callable[[], None] = lambda: None
        """Called after each turn."""
        self._given = given
        self._standing = {name: Standing(name) for name in given.channels}
        self._cards: dict[int, Card] = {}
        self._after = 0
        self._changed: set[int] = set()
        self._told: dict[Told, int] | None = None
        self._unwritten: dict[Told, int] = {}
        self._sweep_at = SWEEP_MIN
        # By person and channel, and by channel alone (no person) where it fails for everybody.
        self._held: dict[tuple[str, str], Hold] = {}
        self._turning = asyncio.Lock()
        self._woken = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def standing(self) -> list[Standing]:
        """How each channel stands."""
        return list(self._standing.values())

    def start(self) -> None:
        """Begin, on the running loop; without a channel there is nothing to begin."""
        if self._given.channels:
            self._task = asyncio.get_running_loop().create_task(self._forever())
            self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End between two messages, or after `STOP_S_MAX`."""
        self._stopping = True
        self.wake()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=STOP_S_MAX)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for channel in self._given.channels.values():
            await channel.aclose()

    def look_again(self, seq: int) -> None:
        """A card that is known waits for somebody else, too."""
        self._changed.add(seq)
        self.wake()

    def wake(self) -> None:
        """Look now, and not only in a moment."""
        self._woken.set()

    async def _forever(self) -> None:
        look_s, commits, next_at = min(self._given.settings.every_s, LOOK_EVERY_S), -1, 0
        while not self._stopping:
            self._woken.clear()
            # An idle process is left alone: no commit, no new card.
            if commits != self._given.store.commits or next_at <= self._given.now():
                commits = self._given.store.commits
                try:
                    following = await self.turn()
                    next_at = following if following is not None else 1 << 62
                except StoreLost:
                    return
                except DeputizeError as error:
                    # Full or busy, which is told elsewhere; looked at again in a moment.
                    self.on_trouble("the ledger", str(error))
                    commits = -1
            with suppress(TimeoutError):
                async with asyncio.timeout(look_s):
                    await self._woken.wait()

    async def turn(self) -> int | None:
        """Tell everybody what is due. Returns when (ledger time) there is more to do, None for not by itself.

        Raises `StoreError`; what was sent by then is not sent again.
        """
        async with self._turning:
            await self._write_told()
            changed = frozenset(self._changed)
            plan = await asyncio.to_thread(self._plan, self._given.now(), changed)
            self._changed -= changed
            self._let_go(plan)
            for message in plan.messages:
                # Asked for each: the one before may have shown that nobody can be told.
                if not self._stopping and self._held_until(message) <= self._given.now():
                    await self._tell(message)
            if len(self._told or ()) + len(self._cards) >= self._sweep_at:
                await self._sweep()
            self.on_turn()
            nexts = [hold.until for hold in self._held.values()]
            return min([*nexts, *([plan.next_at] if plan.next_at is not None else [])], default=None)

    # -- what is due ----------------------------------------------------------------------------------

    def _plan(self, now: int, changed: frozenset[int]) -> Plan:
        """What is due, of cards that are open now; those who are left alone for a while are among it."""
        given = self._given
        directory = given.people()
        reach = Reach(directory, given.settings.reached(directory))
        while page := given.store.read(lambda view: new_cards(view, self._after, reach)):
            self._cards |= {card.seq: card for card in page}
            self._after = page[-1].seq
        seqs = {card.seq for message in self._due(now).messages for card in message.cards}
        for seq in seqs | (changed & self._cards.keys()):
            card = self._again(seq, reach)
            if card is None:
                del self._cards[seq]
            else:
                self._cards[seq] = card
        return self._due(now)

    def _again(self, seq: int, reach: Reach) -> Card | None:
        return self._given.store.read(lambda view: still_open(view, seq, reach))

    def _due(self, now: int) -> Plan:
        given = self._given
        people = given.settings.reached(given.people())
        return due(self._cards.values(), (self._told or {}).keys(), people, now, given.settings, given.zone)

    # -- sending --------------------------------------------------------------------------------------

    async def _tell(self, message: Message) -> None:
        """Send one message, and write down that it was."""
        given, channel = self._given, message.channel
        person = given.people().people.get(message.person)
        letter, seqs = await asyncio.to_thread(self._letter, message, given.now())
        if letter is None or person is None:
            return
        try:
            await send_within(given.channels[channel], letter, person, given.now())
        except NotSent as error:
            self._hold(message, error)
            return
        at = given.now()
        self._standing[channel] = replace(
            self._standing[channel], sent=self._standing[channel].sent + 1, last_at=at
        )
        for whom in (message.person, ""):
            self._held.pop((whom, channel), None)
        self._note_trouble(channel)
        self._unwritten |= {(seq, message.person, channel): at for seq in seqs}
        await self._write_told()

    def _letter(self, message: Message, now: int) -> tuple[Letter | None, list[int]]:
        """A message in words, and the cards that it is about: those that are open at this moment."""
        given = self._given

        def read(view: View) -> tuple[list[Item], list[int]]:
            items: list[Item] = []
            seqs: list[int] = []
            for card in message.cards:
                row = open_card(view, card.seq)
                if row is not None:
                    seqs.append(row.seq)
                    if len(items) < CARDS_SHOWN_MAX:
                        link = given.links.url(row, message.person, card.due, now)
                        items.append(item_of(view, row, link, given.schemas))
            return items, seqs

        items, seqs = given.store.read(read)
        if not items:
            return None, []
        id = id_of(given.store.ledger_id, message.person, message.channel, seqs)
        made, clean = letter_of(items, len(seqs) - len(items), id, given.zone), given.clean
        return Letter(id, clean(made.subject), clean(made.text), clean(made.html), clean(made.chat)), seqs

    # -- trouble --------------------------------------------------------------------------------------

    def _hold(self, message: Message, error: NotSent) -> None:
        """Leave them, or everybody on the channel, alone for a while: longer each time."""
        whom = ("" if error.everybody else message.person, message.channel)
        failures = (self._held[whom].failures if whom in self._held else 0) + 1
        wait_s = max(min(BACK_OFF_S * 2.0 ** min(failures - 1, 20), BACK_OFF_S_MAX), error.retry_after_s)
        reason = error.reason if error.everybody else f"{message.person}: {error.reason}"
        self._held[whom] = Hold(failures, self._given.now() + int(wait_s * 1e6), reason)
        self._note_trouble(message.channel)
        self.on_trouble(message.channel, reason)

    def _held_until(self, message: Message) -> int:
        holds = (self._held.get((whom, message.channel)) for whom in (message.person, ""))
        return max((hold.until for hold in holds if hold is not None), default=0)

    def _let_go(self, plan: Plan) -> None:
        """Forget the trouble of those whom nothing is to be told any more, once its time is over."""
        now = self._given.now()
        left = {(whom, m.channel) for m in plan.messages for whom in (m.person, "")}
        for whom in [w for w, hold in self._held.items() if hold.until <= now and w not in left]:
            del self._held[whom]
            self._note_trouble(whom[1])

    def _note_trouble(self, channel: str) -> None:
        """A channel's trouble is the worst of those that it has with anybody."""
        holds = [hold for (_, name), hold in self._held.items() if name == channel]
        worst = max(holds, key=lambda hold: hold.failures, default=Hold(0, 0, ""))
        self._standing[channel] = replace(
            self._standing[channel],
            failures=worst.failures,
            trouble=worst.reason,
            next_at=worst.until or None,
        )

    # -- what was told --------------------------------------------------------------------------------

    async def _write_told(self) -> None:
        """Write down what was said, and read what a former owner said."""
        new = dict(self._unwritten)

        def work(tx: Tx) -> dict[str, str]:
            for (seq, person, channel), at in new.items():
                tx.set_setting(f"{TOLD}{seq}:{channel}:{person}", str(at))
            return tx.settings(TOLD) if self._told is None else {}

        if self._told is None:
            said = await self._given.store.write(work)
            self._told = {_told_of(name): int(at) for name, at in said.items()}
            await self._sweep()
        elif new:
            # It was said, whether or not that can be written now.
            self._told |= new
            await self._given.store.write(work)
        for key in new:
            self._unwritten.pop(key, None)

    async def _sweep(self) -> None:
        """Forget what was said of cards that are closed by now."""
        assert self._told is not None
        there = await asyncio.to_thread(self._given.store.read, open_seqs)
        closed = [told for told in self._told if told[0] not in there]
        self._cards = {seq: card for seq, card in self._cards.items() if seq in there}

        def work(tx: Tx) -> None:
            for seq, person, channel in closed:
                tx.set_setting(f"{TOLD}{seq}:{channel}:{person}", None)

        if closed:
            await self._given.store.write(work)
            for told in closed:
                del self._told[told]
        self._sweep_at = 2 * (len(self._told) + len(self._cards)) + SWEEP_MIN

    def _ended(self, done: asyncio.Task[None]) -> None:
        """It never ends unseen."""
        error = None if done.cancelled() else done.exception()
        if error is not None:
            what = f"it has ended by an error of ours: {type(error).__name__}: {error}"
            for name, standing in self._standing.items():
                self._standing[name] = replace(standing, failures=1, trouble=what, next_at=None)
            self.on_trouble("notify", what)


def _told_of(name: str) -> Told:
    seq, channel, person = name.removeprefix(TOLD).split(":")
    return int(seq), person, channel
