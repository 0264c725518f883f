"""A plan foreseen whole, before people are asked for it: each of its actions judged by what is in force, then
foretold and never done, on budgets and counts as those before it would leave them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from deputize import canonical
from deputize.foretold import Line
from deputize.kernel.foreseeing import Foresight
from deputize.kernel.live import Leaf, LiveRun
from deputize.kernel.result import Result
from deputize.kernel.whole import Foreseen
from deputize.planned import FORESEEN_MAX, Imagined, Imagining
from deputize.rule import RuleLine

SHOWN_BYTES_MAX = 8_000
"""Arguments and answers are told on the card up to this size."""


def foresee(
    run: LiveRun, path: str, imagining: Imagining, foresight: Foresight, turn_to: Callable[[Imagined], None]
) -> Foreseen:
    """Go through a plan. `turn_to` is told of each action before it is foreseen."""
    told: list[Mapping[str, Any]] = []
    rules: dict[str, list[RuleLine]] = {}
    count, sent = 0, None
    with closing(imagining):
        while (one := _next(imagining, sent)) is not None:
            sent = None
            if one.action is None:
                told.append({"step": one.step, "said": one.said})
                continue
            count += 1
            if count > FORESEEN_MAX:
                told.append({"step": one.step, "said": f"no more than {FORESEEN_MAX} actions are foreseen"})
                break
            turn_to(one)
            leaf = Leaf(path, one.action, True)
            line = _line(run, leaf, foresight)
            rules.setdefault(one.step, []).extend(line.people)
            told.append(_told(one, line, leaf.result))
            if leaf.result is not None and leaf.result.kind == "value":
                sent = leaf.result.stored
            elif leaf.result is not None and one.sure:
                told.append({"step": one.step, "said": "the plan would stop here"})
                break
    return Foreseen(told, rules)


def _next(imagining: Imagining, sent: bytes | None) -> Imagined | None:
    try:
        return imagining.send(sent)
    except StopIteration:
        return None


def _line(run: LiveRun, leaf: Leaf, foresight: Foresight) -> Line:
    telling = foresight.tell(run, leaf, None, run.step.now_us)
    # Of what has not been done there is one line, and one place for it.
    for _ in range(2):
        try:
            next(telling)
        except StopIteration as ended:
            lines: list[Line] = ended.value
            return lines[0]
    raise AssertionError("an action that is foreseen is told in one line")


def _told(one: Imagined, line: Line, result: Result | None) -> Mapping[str, Any]:
    answer = {"answer": _shown(result.stored)} if line.would == "read" and result is not None else {}
    return answer | {
        "step": one.step,
        "sure": one.sure,
        "said": one.said,
        "op": line.what,
        "args": _shown(canonical.encode(line.args)),
        "would": line.would,
        "how": line.how,
        "reason": line.reason,
        "rules": [{"id": rule.id, "title": rule.title} for rule in line.people],
    }


def _shown(stored: bytes) -> Any:
    if len(stored) > SHOWN_BYTES_MAX:
        return {"bytes": len(stored), "digest": canonical.digest(stored)}
    return canonical.decode(stored)
