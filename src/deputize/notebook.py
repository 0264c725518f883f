"""What a working model is shown: the task whole, the last turns whole, and of those before them one line
each.

The stable part stands first and old turns are folded up several at a time, so that most of what is sent is
what was sent before and a provider's cache of it holds. Whatever is folded up can be asked for again by its
number.
"""

from __future__ import annotations

from dataclasses import dataclass

from deputize.thought import Called, Message, Thought

TURNS_MAX = 10
"""Turns that are shown whole, at most; beyond that they are folded up until `TURNS_KEPT` are left."""

TURNS_KEPT = 6
TURN_CHARS_MAX = 24_000
"""Beyond so many characters in the turns that are shown whole, they are folded up as well; the last never
is."""

LINES_MAX = 12
"""One line each for so many of the turns before those."""

RESULT_CHARS_MAX = 8_000
"""Of one result, so much is shown at a time."""

LINE_CHARS_MAX = 160


@dataclass(frozen=True)
class _Result:
    number: int
    what: str
    text: str


@dataclass(frozen=True)
class _Turn:
    said: Message
    results: tuple[Message, ...]
    lines: tuple[str, ...]

    @property
    def size(self) -> int:
        """About how many characters of it are sent."""
        calls = sum(len(call.args) + len(call.name) for call in self.said.calls)
        return calls + sum(len(one.text) for one in (self.said, *self.results))


class Notebook:
    """The conversation of one piece of work, within bounds."""

    def __init__(self, task: list[Message]) -> None:
        self._task = task
        self._results: list[_Result] = []
        self._whole: list[_Turn] = []
        self._folded: list[str] = []

    def messages(self) -> list[Message]:
        """What to put before the model now."""
        whole = [message for turn in self._whole for message in (turn.said, *turn.results)]
        return [*self._task, *self._earlier(), *whole]

    def turn(self, thought: Thought, results: list[tuple[Called, str, str]]) -> None:
        """What the model said, and what came of each call: the call, what it was in words, the result."""
        calls, messages, lines = [], [], []
        for call, what, text in results:
            number = len(self._results) + 1
            own = call.model_copy(update={"id": f"call_{number}"})
            self._results.append(_Result(number, what, text))
            calls.append(own)
            messages.append(Message(role="result", text=self.part(number, 1), to=own.id))
            lines.append(f"{number}. {what}"[:LINE_CHARS_MAX])
        said = Message(role="model", text=thought.text[:RESULT_CHARS_MAX], calls=tuple(calls))
        self._whole.append(_Turn(said, tuple(messages), tuple(lines)))
        self._fold()

    def note(self, thought: Thought, reason: str) -> None:
        """A turn that called nothing, and what the model is told of it."""
        said = Message(role="model", text=thought.text[:RESULT_CHARS_MAX] or "(nothing)")
        self._whole.append(_Turn(said, (Message(role="user", text=reason),), ()))
        self._fold()

    def part(self, number: int, part: int) -> str:
        """A part of a result that was had, counted from 1; or that there is none."""
        if not 1 <= number <= len(self._results):
            return f"There is no result {number}."
        text = self._results[number - 1].text
        parts = max(1, -(-len(text) // RESULT_CHARS_MAX))
        if not 1 <= part <= parts:
            return f"Result {number} has {parts} part{'' if parts == 1 else 's'}."
        shown = text[(part - 1) * RESULT_CHARS_MAX : part * RESULT_CHARS_MAX]
        return shown if parts == 1 else f"(part {part} of {parts} of result {number}) {shown}"

    def _fold(self) -> None:
        size = sum(turn.size for turn in self._whole)
        if len(self._whole) <= TURNS_MAX and size <= TURN_CHARS_MAX:
            return
        while len(self._whole) > TURNS_KEPT or (size > TURN_CHARS_MAX // 2 and len(self._whole) > 1):
            turn = self._whole.pop(0)
            size -= turn.size
            self._folded += turn.lines

    def _earlier(self) -> list[Message]:
        if not self._folded:
            return []
        shown = self._folded[-LINES_MAX:]
        more = len(self._folded) - len(shown)
        before = f"Results 1 to {more} came before these. " if more else ""
        said = f"What you did before; `recall` shows a result again by its number. {before}\n"
        return [Message(role="user", text=said + "\n".join(shown))]
