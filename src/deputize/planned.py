"""A plan that people approve whole: what is asked of them, and what an action says of the plan that it is a
part of. Pure.

`deputize.plans` makes these; the kernel puts them before people, and starts what they granted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deputize import canonical
from deputize.approval import Otherwise
from deputize.awaiting import Awaiting
from deputize.sentence import asked_for, in_words, listed, quoted, short

if TYPE_CHECKING:
    from deputize.action import Action

PLAN = "plan"
"""What a plan that waits for people is called in the record, where an action has its operation."""

WHOLE = "the plan as a whole"
FORESEEN_MAX = 200
"""Actions of one plan that are foreseen, at most; those after them ask for themselves."""

LINE_CHARS_MAX = 600

Results = Mapping[tuple[str, int], Any]
"""What the uses of operations in a plan were answered, as JSON, by step and item."""


@dataclass(frozen=True)
class Part:
    """An action's place in a plan that was asked for: the path of the asking, the plan's digest, the step and
    the number of the item (0 where the step has no `each`).

    `follows` says whether an operation with these stored arguments is what the plan has there, after these
    results.
    """

    ask: str
    digest: str
    step: str
    item: int
    follows: Callable[[str, bytes, Results], bool] = field(compare=False)

    def body(self) -> dict[str, Any]:
        """For an entry."""
        return {"part": {"plan": self.ask, "step": self.step, "item": self.item}}


@dataclass(frozen=True)
class Imagined:
    """What a step would do: an `action`, or why none can be told. What is not `sure` may be left out."""

    step: str
    action: Action[Any] | None
    said: str = ""
    sure: bool = True


Imagining = Generator[Imagined, bytes | None, None]
"""A plan as it would be carried out. For each action it is sent the stored result that is foreseen, or None
where there is none to tell."""


class PlanAsk(Awaiting[None]):
    """A plan is put before people, before anything of it is done. Its result says nothing but that they have
    granted it."""

    __slots__ = (
        "digest", "goal", "imagine", "otherwise", "plan", "plan_digest", "sentences", "whom", "within_us",
    )  # fmt: skip

    def __init__(
        self,
        plan: Mapping[str, Any],
        plan_digest: str,
        sentences: Sequence[str],
        imagine: Callable[[], Imagining],
        whom: Whom,
    ) -> None:
        super().__init__()
        self.plan = plan
        self.plan_digest = plan_digest
        self.goal = str(plan["goal"])
        self.sentences = tuple(sentences)
        self.imagine = imagine
        self.whom, self.within_us, self.otherwise = whom.names, whom.within_us, whom.otherwise
        said = [plan_digest, self.whom, self.within_us, self.otherwise]
        self.digest = canonical.digest(canonical.encode(said))

    def describe(self) -> str:
        return f"carry_out({self.goal[:40]!r}, ask=…)"


@dataclass(frozen=True)
class Whom:
    """Who is asked for a plan, for how long, and what their silence does: `expire` or `refuse`."""

    names: tuple[str, ...]
    within_us: int
    otherwise: Otherwise = "expire"


def binding_of_plan(run: str, path: str, digest: str, agent: str, rules: Mapping[str, Sequence[str]]) -> str:
    """What a grant is bound to. `digest` is the plan's, `rules` are those that it covers, by step."""
    covered = {step: sorted(ids) for step, ids in rules.items()}
    return canonical.digest(canonical.encode([run, path, PLAN, digest, agent, covered]))[:24]


# -- for people -----------------------------------------------------------------------------------------


def told_plan(body: Mapping[str, Any]) -> list[str]:
    """What a card says of a plan: its sentences, and what is foreseen of each step."""
    by_step: dict[str, list[str]] = {}
    for one in body["foreseen"]:
        by_step.setdefault(one["step"], []).append(short(_foreseen(one), LINE_CHARS_MAX))
    ids = [step["id"] for step in body["whole"]["steps"]]
    lines = []
    for sentence, id in zip(body["says"], [*ids, ""], strict=False):
        lines.append(short(sentence, LINE_CHARS_MAX))
        foreseen = by_step.get(id, ["it is not known whether it comes to that"] if id else [])
        lines += [f"   foreseen: {line}" for line in foreseen]
    return lines


_CAME = {
    "read": "it is answered",
    "done": "it would be done",
    "declined": "the service would say no",
    "refused": "it would be refused",
}


def _foreseen(one: Mapping[str, Any]) -> str:
    if "op" not in one:
        return str(one["said"])
    perhaps = "" if one["sure"] else f"perhaps ({one['said']}): "
    came = _CAME.get(one["would"], "what comes of it cannot be told")
    because = f": {one['reason']}" if one["reason"] else ""
    came += f" {in_words(one['answer'])}" if "answer" in one else ""
    asks = [quoted(rule["title"]) for rule in one["rules"]]
    covers = f"; your approval stands for {listed(asks)}" if asks else ""
    return f"{perhaps}{asked_for(one)}; {came}{because}{covers}"


def granted_by(body: Mapping[str, Any]) -> str:
    """Who granted the plan by which an action started, from its intent."""
    return listed(sorted({one["person"] for one in body["whole"]["approvals"]}))
