"""A copy becomes a ledger of its own: halted, and in a new epoch (ACTIONS.md, line 21)."""

from __future__ import annotations

from pathlib import Path

from deputize.clock import SystemClock
from deputize.kernel.agent_tokens import AGENT_TOKEN_SETTING
from deputize.kernel.moved import MOVED
from deputize.kernel.people import STOP_SETTING
from deputize.kernel.sessions import PASSWORD_SETTING, SESSION_SETTING
from deputize.kernel.stops import ALL
from deputize.kernel.tokens import TOKEN_SETTING
from deputize.ledger import SYSTEM, Draft
from deputize.store.protocol import Tx
from deputize.store.sqlite.store import SqliteStore


async def mark_copy(path: Path, reason: str, by: str, *, void: bool) -> int:
    """Open a copy as its owner, which takes a new epoch, and halt it. Returns its last entry's number.

    `void` where the ledger that it is a copy of may have gone on: what it knows of approvals, tokens,
    sessions and passwords is not good any more.
    """
    store = SqliteStore(path, SystemClock())

    def work(tx: Tx) -> int:
        restored = Draft("restored", {"epoch": store.epoch, "reason": reason})
        halted = Draft("halted", {"scope": ALL, "reason": reason, "person": by})
        tx.append(SYSTEM, tx.version(SYSTEM), [restored, halted])
        tx.set_setting(STOP_SETTING + ALL, reason)
        tx.set_setting(MOVED, None)
        if void:
            # Since the copy was made they may have been used in the ledger that it is a copy of.
            tx.void_approvals()
            # A token that was taken back since the copy was made must not come back with it, nor a session
            # that was ended or a password that was changed.
            for prefix in (TOKEN_SETTING, AGENT_TOKEN_SETTING, SESSION_SETTING, PASSWORD_SETTING):
                for name in tx.settings(prefix):
                    tx.set_setting(name, None)
        return tx.counts()["entries"]

    try:
        return await store.write(work)
    finally:
        store.close()
