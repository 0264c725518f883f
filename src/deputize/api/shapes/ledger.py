"""Looking after the ledger and the process."""

from __future__ import annotations

from deputize.api.shapes.shape import Answer, Body, Sent, Shape, Told


class BackupSent(Sent):
    """Where to."""

    target: str
    """An absolute path on the machine of this process, where there is no file yet."""


class BackedUp(Shape):
    """The copy."""

    target: str
    bytes: int


class Flaw(Shape):
    """What is wrong, and where."""

    run: str
    version: int
    what: str


class Verified(Shape):
    """Whether every byte is as it was written."""

    ok: bool
    checked: int
    """Entries."""
    flaws: list[Flaw]
    """At most 1,000."""


class RebuildSent(Sent):
    """Whether what comes of it is put in place."""

    replace: bool = False


class Rebuilt(Shape):
    """How the projections differ from what the entries say."""

    ok: bool
    replaced: bool
    differences: list[str]


class EraseSent(Sent):
    """Which run."""

    run: str


class Erased(Shape):
    """What is erased."""

    run: str
    erased: bool
    """False where nothing was left to erase."""


class LeaveSent(Sent):
    """How long to wait for what is being sent."""

    within_s: float = 60.0
    """0 to 600."""
    reason: str = ""


class Left(Shape):
    """The actions that were being sent still: the copy has them as doubts."""

    open: list[str]


class Alive(Shape):
    """The process lives."""

    alive: bool


class Ready(Shape):
    """It takes events and decisions."""

    ready: bool
    unfinished: int
    """Writes from before a restore that are to be looked up or answered before it goes on."""


_RUN = "3f9d0c6a51b7e2480f6c1d2e"

METRICS = "# HELP deputize_runs Runs by state\n# TYPE deputize_runs gauge\n"

ROUTES: dict[str, Told] = {
    "back_up": Told(
        {200: Answer("It is copied.", BackedUp, {"target": "/backups/shop.db", "bytes": 1_048_576})},
        Body(BackupSent, {"a file": {"target": "/backups/shop.db"}}),
        {
            409: "/backups/shop.db is there already; name a file that is not",
            422: "target must be an absolute path: this process has a folder of its own",
        },
    ),
    "verify_ledger": Told(
        {200: Answer("What was found.", Verified, {"ok": True, "checked": 4_711, "flaws": []})},
    ),
    "rebuild_ledger": Told(
        {200: Answer("What was found.", Rebuilt, {"ok": True, "replaced": False, "differences": []})},
        Body(RebuildSent, {"to compare": {}, "to replace": {"replace": True}}, required=False),
        {409: "the ledger could not be rebuilt", 422: "replace must be true or false"},
    ),
    "erase": Told(
        {200: Answer("It is erased.", Erased, {"run": _RUN, "erased": True})},
        Body(EraseSent, {"a run": {"run": _RUN}}),
        {
            404: "there is no run '3f9d', or more than one begins so; GET /v1/runs lists them",
            409: f"run {_RUN} is waiting: only a run that has ended can be erased; cancel it first",
            422: "run must be text of 1 to 200 characters",
        },
    ),
    "leave": Told(
        {200: Answer("It has halted, and ends.", Left, {"open": []})},
        Body(LeaveSent, {"within a minute": {"within_s": 60, "reason": "a new machine"}}, required=False),
        {409: "nothing can be stopped now", 422: "within_s must be 0 to 600 seconds"},
        needs_person=True,
    ),
    "get_health": Told({200: Answer("It lives.", Alive, {"alive": True})}),
    "get_ready": Told(
        {200: Answer("It is ready.", Ready, {"ready": True, "unfinished": 0})},
        refuses={503: "this process is starting; ask again in a moment"},
    ),
    "get_metrics": Told({200: Answer("The figures.", None, METRICS, media="text/plain")}),
}
