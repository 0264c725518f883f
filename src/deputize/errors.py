"""Everything Deputize raises.

    DeputizeError
    ├── ProjectError          a project that does not load: settings, imports, rules (file and line)
    │   ├── RuleError
    │   └── ContractError     arguments or definitions that a contract does not allow
    ├── CodeError             an automation that does what automations may not (file and line)
    ├── BadEvent              an event that cannot be accepted as it is
    ├── StoreError
    │   ├── Conflict          a stream is not at the version that its owner expects
    │   ├── LedgerOwned       another process owns this ledger
    │   ├── LedgerMoved       the ledger was moved elsewhere; this copy starts no more
    │   ├── SchemaTooNew      the ledger was written by a newer Deputize
    │   ├── StoreFull         the disk is full or the file is busy: nothing was written
    │   └── StoreLost         the ledger's file is gone, or a COMMIT failed: stop and recover
    ├── MoveError             a project that cannot be packed, or an archive that cannot be unpacked
    └── ActionError           what a plain `await` raises when an action is not a success
        ├── Refused           rules, a budget or an exhausted attempt said no: nothing was done
        ├── Unavailable       its connection is down, and it was to be told so: nothing was done
        ├── Declined          the service said no, for good
        ├── Expired           nothing came within the time that was given
        ├── GaveUp            a model could not do what was asked of it; uncaught, it ends the run as given up
        └── Unmet             done, but not what was expected

What the world does is data in the ledger; these are for callers' mistakes and our own bugs.
"""

from __future__ import annotations


class DeputizeError(Exception):
    """The root of the tree; its docstring is its default message."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else (type(self).__doc__ or "").split("\n")[0])


class ProjectError(DeputizeError):
    """The project cannot be loaded."""


class RuleError(ProjectError):
    """A rule cannot be used; the message starts with its file and line."""


class ContractError(ProjectError):
    """The arguments or the definition do not fit the operation's contract."""


class CodeError(DeputizeError):
    """An automation did something that automations may not do; the message says where."""


class BadEvent(DeputizeError):
    """The event cannot be accepted; the message says which part, and what it should be."""


class StoreError(DeputizeError):
    """The ledger could not do what was asked."""


class Conflict(StoreError):
    """The stream is not at the expected version: someone else appended to it."""


class LedgerOwned(StoreError):
    """Another process owns this ledger."""


class LedgerMoved(StoreError):
    """This ledger was moved elsewhere, and starts no more."""


class SchemaTooNew(StoreError):
    """This ledger was written by a newer version of Deputize; upgrade, or restore an older backup."""


class StoreFull(StoreError):
    """The ledger could not be written (disk full, or the file is busy); nothing was accepted."""


class StoreLost(StoreError):
    """The ledger's file is gone, or a commit has an unknown outcome; this process must stop and recover."""


class MoveError(DeputizeError):
    """The move cannot be done; nothing was moved."""


class ActionError(DeputizeError):
    """An action that is not a success.

    `operation` is the operation's name, `action_id` the id that `deputize why` takes,
    `reason` one sentence for people.
    """

    def __init__(self, operation: str, action_id: str, reason: str) -> None:
        super().__init__(f"{operation}: {reason} (action {action_id})")
        self.operation = operation
        self.action_id = action_id
        self.reason = reason

    def __reduce__(self) -> tuple[type[ActionError], tuple[str, str, str]]:
        return (type(self), (self.operation, self.action_id, self.reason))


class Refused(ActionError):
    """Rules, a budget or exhausted attempts said no; nothing was done."""


class Unavailable(ActionError):
    """Its connection is down, and `unless_down()` said not to wait for it; nothing was done."""


class Declined(ActionError):
    """The service said no, for good; nothing was done."""


class GaveUp(ActionError):
    """A model could not do what was asked of it: its answers did not fit, or its steps or means are used up.

    `error` is what an action that it led to failed by, if that is why: uncaught, that is a failure of the
    run.
    """

    def __init__(self, operation: str, action_id: str, reason: str, error: ActionError | None = None) -> None:
        super().__init__(operation, action_id, reason)
        self.error = error


class Expired(ActionError):
    """Nothing came within the time that was given."""


class Unmet(ActionError):
    """The action was done, but its result is not what was expected."""
