"""What happened to the project as a whole: entries of the system's stream, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from deputize.happened import Body, person_of
from deputize.ledger import Entry
from deputize.sentence import in_words, quoted, reason_of


def told_systemwide(entry: Entry, when: Callable[[int], str]) -> str:
    """One entry of the system's stream as a sentence; `when` says a moment."""
    body = entry.body
    if body is None:
        return "Its content has been erased."
    said = _SAYS.get(entry.type)
    return said(body, when) if said is not None else f"{entry.type}: {in_words(body)}"


def _opened(body: Body, when: Callable[[int], str]) -> str:
    return f"The process was started{_by(body)}."


def _rules(body: Body, when: Callable[[int], str]) -> str:
    return f"Other rules came into force{_by(body)}."


def _halted(body: Body, when: Callable[[int], str]) -> str:
    reason = f": {reason_of(body['reason'])}" if body.get("reason") else ""
    return f"{_somebody(body.get('person'))} paused {_scope(body['scope'])}{reason}."


def _resumed(body: Body, when: Callable[[int], str]) -> str:
    return f"{_somebody(body.get('person'))} let {_scope(body['scope'])} go on."


def _erased(body: Body, when: Callable[[int], str]) -> str:
    return f"What run {body['run']} held of people was erased."


def _restored(body: Body, when: Callable[[int], str]) -> str:
    return f"The ledger was restored from a copy: {reason_of(str(body.get('reason', '')))}."


def _moved(body: Body, when: Callable[[int], str]) -> str:
    if not body.get("to"):
        return "A move was taken back; the project goes on here."
    return f"{_somebody(body.get('person'))} moved the project to {body['to']}."


def _clock_back(body: Body, when: Callable[[int], str]) -> str:
    return (
        "The machine's clock was set back: no request from before "
        f"{when(body['no_repeat_before'])} is repeated."
    )


def _circuit(body: Body, when: Callable[[int], str]) -> str:
    if body["state"] != "open":
        return f"The connection {body['connector']} works again."
    return (
        f"The connection {body['connector']} was taken for down: {body['failures']} of its last "
        f"{body['calls']} calls failed."
    )


def _lifted(body: Body, when: Callable[[int], str]) -> str:
    return f"{person_of(body)} let the writes of {body['automation']} start unconfirmed again."


def _titled(body: Body, when: Callable[[int], str]) -> str:
    return f"{body['title']}."


def _noted(body: Body, when: Callable[[int], str]) -> str:
    return f"{person_of(body)} has read that."


def _person(body: Body, when: Callable[[int], str]) -> str:
    what = {"token issued": "was given a token", "token revoked": "lost a token"}.get(body["what"])
    told = f"{body['person']} {what}" if what else f"{body['person']}: {body['what']}"
    return f"{told}{_by(body)}."


_SAYS: dict[str, Callable[[Body, Callable[[int], str]], str]] = {
    "opened": _opened,
    "rules": _rules,
    "halted": _halted,
    "resumed": _resumed,
    "erased": _erased,
    "restored": _restored,
    "moved": _moved,
    "clock_back": _clock_back,
    "circuit": _circuit,
    "lowered": _titled,
    "neared": _titled,
    "lifted": _lifted,
    "noted": _noted,
    "person": _person,
}


def _by(body: Body) -> str:
    by = body.get("by")
    name = by.get("person") or by.get("account") if isinstance(by, Mapping) else by
    return f", by {name}" if name else ""


def _somebody(name: object) -> str:
    return str(name) if name else "Somebody"


def _scope(scope: str) -> str:
    return "everything" if scope == "all" else quoted(scope.replace(":", " ", 1))
