"""A file of events: one CloudEvent, an array of them, or one a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deputize import canonical
from deputize.automation import Automation
from deputize.clock import parse_time
from deputize.errors import BadEvent, ProjectError
from deputize.event import Occurrence, parse_cloudevent
from deputize.suggest import did_you_mean

FILE_BYTES_MAX = 50_000_000
EVENTS_MAX = 10_000
PROBLEMS_SHOWN = 20


def read_events(
    path: Path,
    automation: Automation,
    automations: Mapping[str, Automation],
    scrub: Callable[[bytes], bytes],
    now_us: int,
) -> list[Occurrence]:
    """The events of a file, all of them for one automation. Raises `ProjectError` with every line that is
    wrong, and what is wrong about it. An event that comes twice is one, as it would be live."""
    found: dict[tuple[str, str], Occurrence] = {}
    wrong = []
    for where, value in _values(path, scrub(_bytes(path))):
        try:
            event = parse_cloudevent(value, received_us=now_us, parse_time=parse_time)
            _check_type(event.type, automation, automations)
            event.data_as(automation.on)
        except BadEvent as error:
            wrong.append(f"{where}: {error}")
            continue
        found.setdefault((event.source, event.id), event)
    if wrong:
        more = len(wrong) - PROBLEMS_SHOWN
        raise ProjectError(
            "\n".join([*wrong[:PROBLEMS_SHOWN], *([f"… and {more} more"] if more > 0 else [])])
        )
    return list(found.values())


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ProjectError(
            f"{path}: {error.strerror or error}; --event takes a file with a CloudEvent, or one a line"
        ) from None
    if len(data) > FILE_BYTES_MAX:
        raise ProjectError(f"{path} has more than {FILE_BYTES_MAX:,} bytes; split it")
    if not data.strip():
        raise ProjectError(f"{path} is empty; write a CloudEvent as JSON, or one a line")
    return data


def _values(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    """The decoded events, each with where it stands."""
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    try:
        whole: Any = canonical.decode(data)
    except ValueError as error:
        if len(lines) == 1 or not _is_json(lines[0][1]):
            raise ProjectError(_not_json(path, data, error)) from None
        yield from _of_lines(path, lines)
        return
    if isinstance(whole, list):
        yield from _bounded(path, ((f"{path}: event {n}", one) for n, one in enumerate(whole, 1)), len(whole))
    else:
        yield str(path), whole


def _of_lines(path: Path, lines: list[tuple[int, bytes]]) -> Iterator[tuple[str, Any]]:
    def decoded() -> Iterator[tuple[str, Any]]:
        for number, line in lines:
            try:
                yield f"{path}:{number}", canonical.decode(line)
            except ValueError as error:
                raise ProjectError(f"{path}:{number} is not JSON: {error}") from None

    yield from _bounded(path, decoded(), len(lines))


def _bounded(path: Path, values: Iterable[tuple[str, Any]], count: int) -> Iterable[tuple[str, Any]]:
    if not 1 <= count <= EVENTS_MAX:
        raise ProjectError(f"{path} has {count:,} events; rehearse 1 to {EVENTS_MAX:,} at once")
    return values


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(canonical.decode(line), dict)
    except ValueError:
        return False


def _not_json(path: Path, data: bytes, error: ValueError) -> str:
    try:
        data.decode()
    except UnicodeDecodeError as text_error:
        return f"{path} is not UTF-8 (at byte {text_error.start}); write a CloudEvent as JSON, or one a line"
    return f"{path} is not JSON: {error}; write a CloudEvent as JSON, or one a line"


def _check_type(type: str, automation: Automation, automations: Mapping[str, Automation]) -> None:
    """Raises `BadEvent` for an event that the automation does not answer."""
    if type == automation.on.event_type:
        return
    others = sorted(name for name, other in automations.items() if other.on.event_type == type)
    if others:
        hint = f"; {' and '.join(others)} {'answers' if len(others) == 1 else 'answer'} it"
    else:
        hint = did_you_mean(type, {other.on.event_type for other in automations.values()})
    raise BadEvent(
        f"{automation.name} answers {automation.on.event_type!r}, and the event's type is {type!r}{hint}"
    )
