"""A model that plays the recorded steps: what it says to each request, and what it was asked for it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from deputize.store.sqlite.file import connect
from deputize.store.sqlite.view import SqliteView
from deputize.testing.thinker import Thinker
from tests.acceptance import retail
from tests.acceptance.retail.oracle import Request
from tests.support.retail_work import PAGE, REQUESTS, Work, working

THINKING = Path(retail.__file__).parent / "thinking"
THINK = "small.think"
ANSWER = "answer"
SETTINGS = """
[models.small]
model = "openai-chat:small"
base = "{base}"
price = {{ input = 0.5, output = 2.0 }}
output_tokens_max = 300
timeout_s = 30
attempts_max = 12

[[budget]]
name = "Thinking"
limit = "1000.00 USD cost"
per = "day"
"""


@contextmanager
def playing(
    folder: Path, *, requests: Sequence[Request] = REQUESTS, rules: str = ""
) -> Iterator[tuple[Work, Thinker]]:
    """A shop, a model that plays the recorded choices, and the project of a clerk who asks that model."""
    with Thinker.start(folder) as thinker:
        thinker.say_in({text_of(request): choices_of(request) for request in requests})
        settings = SETTINGS.format(base=thinker.base)
        given: dict[str, Any] = {"requests": requests, "rules": rules, "settings": settings}
        with working(folder, over=THINKING, event=event_of, **given) as work:
            yield work, thinker


def event_of(request: Request) -> dict[str, Any]:
    """What the customer says, and nothing of the steps."""
    return {
        "source": "retail/requests",
        "id": str(request.id),
        "type": "retail.asked",
        "data": {"world": str(request.id), "text": request.text},
    }


def text_of(request: Request) -> str:
    """What stands in the conversation about this request, and in no other."""
    return f'"world":"{request.id}"'


def choices_of(request: Request) -> list[dict[str, Any]]:
    """One call a turn: the order, what is done to it, and after the last of them the answer."""
    world = {"world": str(request.id)}
    choices = []
    for step in request.steps:
        choices.append(_call("retail-get_order_details", {**world, "order_id": step.args["order_id"]}))
        choices.append(_call(f"retail-{step.operation}", {**world, **step.args}))
    return [*choices, _call(ANSWER, {"text": "It is done."})]


def _call(name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    return {"calls": [{"name": name, "args": args}]}


class Asked:
    """What a model was asked, life after life: which question of which request, counted from 0."""

    def __init__(self, work: Work, thinker: Thinker) -> None:
        self._texts = {text_of(request): str(request.id) for request in work.requests}
        self._thinker = thinker
        self._seen = 0
        self._questions: dict[str, list[str]] = {world: [] for world in self._texts.values()}

    def since(self) -> dict[str, list[int]]:
        """What it was asked since this was last looked at: by world, in order."""
        found: dict[str, list[int]] = {}
        bodies = self._thinker.asked()
        for body in bodies[self._seen :]:
            world, question = self._world(body["messages"]), json.dumps(body["messages"])
            known = self._questions[world]
            if question not in known:
                known.append(question)
            found.setdefault(world, []).append(known.index(question))
        self._seen = len(bodies)
        return found

    def _world(self, messages: Sequence[Mapping[str, Any]]) -> str:
        said = "\n".join(str(message["content"]) for message in messages)
        [world] = [world for text, world in self._texts.items() if text in said]
        return world


def actions_in(ledger: Path, state: str) -> Counter[tuple[str, str]]:
    """How many actions are in a state, by world and operation, in a ledger whose owner is dead."""
    if not ledger.exists():
        return Counter()
    with closing(connect(ledger, write=False)) as db:
        view = SqliteView(db)
        worlds = {event.seq: event.occurrence.id for event in view.events(after=0, limit=PAGE)}
        return Counter(
            (worlds[run.event], action.operation)
            for run in view.runs(limit=PAGE)
            for action in view.actions(run.no)
            if action.state == state
        )
