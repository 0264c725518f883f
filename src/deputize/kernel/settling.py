"""Settling: what an outcome becomes. One entry each, and where the run goes on, its result.

Known: `receipt`, `declined`, `refused`, `drift`. Not known: `attempt` (once more) and `doubt`. A read
without a price has no intent, so its entry says itself what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from deputize import canonical
from deputize.call import CallDrifted
from deputize.finding import Finding
from deputize.kernel.begun import Begun
from deputize.kernel.judging import Request
from deputize.kernel.live import LiveRun
from deputize.kernel.lowering import lower_if_failing
from deputize.kernel.parts import Parts
from deputize.kernel.recording import Recording
from deputize.kernel.result import Result, unmet_of, unmet_sentence
from deputize.kernel.start import give_up_after_us, start_within_s
from deputize.ledger import Draft, EntryType
from deputize.operation import Operation
from deputize.store.protocol import Tx, View
from deputize.taking import LOST
from deputize.undo import UNDO

Failure = Literal["refused", "unavailable", "expired", "declined"]

DRIFT_CHARS_MAX = 4_000


class Settling:
    """Writes down what becomes of actions. `on_doubt` is told of each doubt."""

    def __init__(
        self,
        parts: Parts,
        recording: Recording,
        on_doubt: Callable[[Begun, Operation[..., Any], str], None],
    ) -> None:
        self._parts = parts
        self._recording = recording
        self._on_doubt = on_doubt

    # -- known, by the answer: T3, queued and not waited for -------------------------------------------

    def receipt(
        self,
        run: LiveRun | None,
        begun: Begun,
        stored: bytes,
        undo: Mapping[str, Any] | None = None,
        used: Mapping[str, Any] | None = None,
    ) -> Result:
        """Done, with an answer that the contract can read, with what would `undo` it, and with what was
        `used` where its price depends on that."""
        body, result = _got(begun.expects, stored, self._parts.time.now_us())
        body["by"] = "answer"
        if undo is not None:
            body["undo"] = undo
        body |= used or {}
        if begun.barred:
            body["barred"], result = begun.barred, replace(result, barred=begun.barred)

        def work(tx: Tx) -> None:
            self._parts.boundary("t3.in")
            self._append(tx, begun, "receipt", "open", body)

        self._parts.boundary("t3.before")
        self._recording.post(run, work, begun)
        return result

    def failed(self, run: LiveRun | None, begun: Begun, kind: Failure, reason: str) -> Result:
        """Declined by the service, or refused after all: what it held is returned."""
        body, result = _failure(kind, reason, self._parts.time.now_us())

        def work(tx: Tx) -> None:
            self._append(tx, begun, _type_of(kind), "open", body)
            self._parts.boundary("settle.in")

        self._parts.boundary("settle.before")
        self._recording.post(run, work, begun)
        return result

    def drift(
        self, run: LiveRun | None, operation: Operation[..., Any], begun: Begun, error: CallDrifted
    ) -> None:
        """Done, with an answer that does not fit: the answer is kept, the run stops for a person."""
        body = _drifted(operation, error)

        def work(tx: Tx) -> None:
            self._append(tx, begun, "drift", "open", body)
            if run is not None:
                lower_if_failing(tx, run.automation)
            self._parts.boundary("drift.in")

        self._recording.post(run, work, begun)

    # -- not known --------------------------------------------------------------------------------------

    async def attempt(
        self, operation: Operation[..., Any], begun: Begun, because: str, *, was: str, unproved: bool
    ) -> Begun | Literal["ended"] | None:
        """Make another attempt with the same key durable, unless a person has ended its run ("ended").
        None where the action is no longer as it was.

        `unproved` where an earlier one may have been done.

        Raises `StoreError`, and not for a ledger that is full or busy: that is waited out.
        """
        parts = self._parts

        def work(tx: Tx) -> Begun | Literal["ended"] | None:
            if not self._recording.still(tx, begun, was):
                return None
            if has_ended(tx, begun.run_no, begun.path):
                return "ended"
            again = replace(
                begun,
                attempt=begun.attempt + 1,
                give_up_at=tx.at_us + give_up_after_us(operation.contract),
                unproved=unproved,
            )
            body = {
                "path": begun.path,
                "n": again.attempt,
                "because": because,
                "start_by": tx.at_us + int(start_within_s(operation.contract) * 1_000_000),
                "give_up_at": again.give_up_at,
                "was": was,
            }
            self._recording.append(tx, begun.run_no, [Draft("attempt", body)])
            parts.boundary("attempt.in")
            return again

        parts.boundary("attempt.before")
        again = await self._recording.written(work)
        parts.boundary("attempt.after")
        return again

    async def doubt(self, operation: Operation[..., Any], begun: Begun, evidence: str) -> None:
        """T4: nobody knows what became of it. Holds, leases and facts stay."""
        parts = self._parts
        parts.boundary("t4.before")

        def work(tx: Tx) -> None:
            body = {"path": begun.path, "evidence": evidence, "give_up_at": begun.give_up_at}
            self._recording.append(tx, begun.run_no, [Draft("doubt", body)])
            parts.boundary("t4.in")

        await self._recording.written(work)
        parts.boundary("t4.after")
        self._on_doubt(begun, operation, evidence)

    # -- known after all: a doubt that a look-up has resolved -------------------------------------------

    async def found(self, begun: Begun, stored: bytes) -> Result | None:
        """It was done, with this result. None where someone else has settled it. Raises `StoreError`."""
        return await self._resolved(begun, "receipt", *_got(begun.expects, stored, self._parts.time.now_us()))

    async def absent(self, begun: Begun, reason: str) -> Result | None:
        """It was not done. None where someone else has settled it. Raises `StoreError`."""
        body, result = _failure("refused", reason, self._parts.time.now_us())
        return await self._resolved(begun, "refused", body, result)

    async def unanswered(
        self, begun: Begun, reason: str, lost_usd_micros: int, kind: Failure = "refused"
    ) -> Result | None:
        """A priced read gets no answer: what was held counts as spent. None, and raises, as `absent`."""
        body, result = _failure(kind, reason, self._parts.time.now_us())
        body |= {"spend": True, LOST: lost_usd_micros}
        return await self._resolved(begun, "refused", body, result, "attempts")

    async def _resolved(
        self, begun: Begun, type: EntryType, body: dict[str, Any], result: Result, by: str = "look-up"
    ) -> Result | None:
        body["by"] = by

        def work(tx: Tx) -> bool:
            if not self._recording.still(tx, begun, "doubtful"):
                return False
            self._parts.boundary("t3.in")
            self._append(tx, begun, type, "doubtful", body)
            return True

        self._parts.boundary("t3.before")
        if not await self._recording.written(work):
            return None
        self._parts.boundary("t3.after")
        self._parts.leases.freed(begun.frees)
        return result

    def _append(self, tx: Tx, begun: Begun, type: EntryType, was: str, body: dict[str, Any]) -> None:
        placed = {"result": tx.place(body["result"])} if "result" in body else {}
        self._recording.append(tx, begun.run_no, [Draft(type, settled_part(begun, was) | body | placed)])

    # -- reads without a price --------------------------------------------------------------------------

    def read(self, request: Request, stored: bytes) -> Result:
        """A read's answer."""
        run = request.run
        got, result = _got(request.action.expects, stored, self._parts.time.now_us())

        def work(tx: Tx) -> None:
            body = {"path": request.path} | _asked(tx, request) | got | {"result": tx.place(stored)}
            # At the version that this run knows: should it have been lost and loaded anew, it reads again.
            version = tx.version(run.no) if run.stands_in else run.version
            run.version = tx.append(run.no, version, [Draft("read", body)])
            self._parts.boundary("read.in")

        self._recording.post(run, work)
        return result

    def read_failed(self, request: Request, kind: Failure, reason: str) -> Result:
        """A read that was declined, or that no answer was had to."""
        body, result = _failure(kind, reason, self._parts.time.now_us())
        more = body | {"facts": {}} | ({} if kind == "declined" else {"unanswered": True})

        def work(tx: Tx) -> None:
            draft = Draft(_type_of(kind), _asked(tx, request) | _took_nothing(request) | more)
            self._recording.append(tx, request.run.no, [draft])

        self._recording.post(request.run, work)
        return result

    def rehearsed(self, request: Request, finding: Finding) -> None:
        """What a rehearsal has found: of what is asked for it says what the action it is about says."""
        run = request.run

        def work(tx: Tx) -> None:
            body = _asked(tx, request) | finding.body() | {"of": request.path}
            self._recording.append(tx, run.no, [Draft("rehearsed", body)])
            self._parts.boundary("rehearsed.in")

        self._recording.post(run, work)

    def read_drift(self, request: Request, error: CallDrifted) -> None:
        """A read with an answer that does not fit: the run stops for a person."""
        body = _took_nothing(request) | _drifted(request.action.operation, error)

        def work(tx: Tx) -> None:
            self._recording.append(tx, request.run.no, [Draft("drift", body | _asked(tx, request))])
            lower_if_failing(tx, request.run.automation)
            self._parts.boundary("drift.in")

        self._recording.post(request.run, work)


def has_ended(view: View, run_no: int, path: str) -> bool:
    """Whether a run has ended: then nothing of it is sent any more, but what undoes it."""
    row = view.run_no(run_no)
    return row is None or (row.state == "ended" and not path.startswith(UNDO))


def settled_part(begun: Begun, was: str) -> dict[str, Any]:
    """What every settling entry says of what it lets go."""
    return {"path": begun.path, "was": was} | let_go(begun)


def let_go(begun: Begun) -> dict[str, Any]:
    """What an action had taken."""
    return {
        "leased": bool(begun.leases),
        "holds": begun.holds,
        "counted": begun.counted,
        **({"under_way": begun.under_way} if begun.under_way else {}),
    }


def _got(expects: Mapping[str, Any], stored: bytes, at: int) -> tuple[dict[str, Any], Result]:
    """A result compared with what was expected: for the entry, and for the run."""
    unmet = unmet_of(expects, canonical.decode(stored)) if expects else {}
    more = {"unmet": unmet} if unmet else {}
    result = Result("unmet" if unmet else "value", stored, unmet_sentence(unmet), at)
    return {"result": stored, "at": at, **more}, result


def _failure(kind: Failure, reason: str, at: int) -> tuple[dict[str, Any], Result]:
    """A failure for the entry, and for the run."""
    more = {str(kind): True} if kind in ("unavailable", "expired") else {}
    return {"reason": reason, "at": at, **more}, Result(kind, b"null", reason, at)


def _type_of(kind: Failure) -> EntryType:
    return "declined" if kind == "declined" else "refused"


def _drifted(operation: Operation[..., Any], error: CallDrifted) -> dict[str, Any]:
    return {
        "reason": f"{operation.name} was answered, but not as its contract says: {error.reason}",
        "raw": error.body[:DRIFT_CHARS_MAX].decode("utf-8", "replace"),
        "status": error.status,
    }


def _asked(tx: Tx, request: Request) -> dict[str, Any]:
    """What an entry says of an action that has no intent."""
    action = request.action
    return {
        "op": action.operation.name,
        "digest": action.digest,
        "version": action.operation.contract.version,
        "agent": request.agent.name,
        "args": tx.place(action.args),
        "why": action.why,
        "rules": request.rules,
        "ruleset": request.ruleset,
        **request.provenance(),
    }


def _took_nothing(request: Request) -> dict[str, Any]:
    """`settled_part` of an action that has no intent."""
    return {"path": request.path, "was": "new", "leased": False, "holds": [], "counted": []}
