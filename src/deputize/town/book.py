"""The town's own evidence: a line for every real effect, and a line for every request."""

from typing import Any

from deputize.town.world import World

PAGE_MAX = 5_000


def note_access(
    world: World,
    service: str,
    method: str,
    route: str,
    operation: str | None,
    key: str | None,
    status: int | None,
    fault: str | None,
) -> None:
    """Write one request into the access log; `status` is None where no answer was given."""
    world.db.execute(
        "INSERT INTO access (at, service, method, route, operation, key, status, fault)"
        " VALUES (?,?,?,?,?,?,?,?)",
        (world.now(), service, method, route, operation, key, status, fault),
    )


def page(world: World, query: str, after: int, limit: int) -> dict[str, Any]:
    """Rows of `query` with a `seq` over `after`, and the cursor of the next page (None at the end)."""
    rows = world.db.execute(f"{query} WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)).fetchall()
    items = [dict(row) for row in rows]
    return {"items": items, "next": items[-1]["seq"] if len(items) == limit else None}


def book_page(world: World, after: int, limit: int) -> dict[str, Any]:
    """Effects in the order in which they happened."""
    return page(world, "SELECT * FROM book", after, limit)


def access_page(world: World, after: int, limit: int) -> dict[str, Any]:
    """Requests in the order in which they were dealt with."""
    return page(world, "SELECT * FROM access", after, limit)


def fault_counts(world: World) -> dict[str, int]:
    """How often each fault was really met, by service.operation.kind."""
    rows = world.db.execute(
        "SELECT service || '.' || operation || '.' || fault AS name, count(*) AS n FROM access"
        " WHERE fault IS NOT NULL GROUP BY service, operation, fault ORDER BY 1"
    )
    return {row["name"]: row["n"] for row in rows}


REPEATED_KEY = """
SELECT coalesce(sum(n - 1), 0) FROM
  (SELECT count(*) AS n FROM book WHERE key IS NOT NULL GROUP BY service, operation, key HAVING n > 1)"""
SAME_REQUEST = """
SELECT coalesce(sum(n - 1), 0) FROM
  (SELECT count(*) AS n FROM book GROUP BY service, operation, request_hash HAVING n > 1)"""
EFFECTS = "SELECT service || '.' || operation AS name, count(*) AS n FROM book GROUP BY 1 ORDER BY 1"
REFUNDED = """
SELECT currency AS name, sum(amount_minor) AS n FROM book
WHERE service = 'payments' AND operation = 'refund' GROUP BY currency"""
REFUNDED_IN_STATE = """
SELECT currency AS name, sum(amount_minor) AS n FROM refunds WHERE NOT opening GROUP BY currency"""

TO_STRANGERS = "SELECT count(*) FROM messages WHERE address NOT IN (SELECT email FROM customers)"


def summary(world: World) -> dict[str, Any]:
    """The book in figures; money is in minor units by currency. Letters and posts have no keys to forget.

    `duplicates` is `repeated_key` (effects whose service, operation and key already had one) plus
    `without_key`. `same_request` counts effects whose very request already had one under any key: worth a
    look, but not always wrong. `refunded_in_state` is what payments itself adds up to; `to_strangers` counts
    messages to addresses that are no customer's.
    """

    def counts(query: str) -> dict[str, int]:
        return {row["name"]: row["n"] for row in world.db.execute(query)}

    def count(query: str) -> int:
        return int(world.db.execute(query).fetchone()[0])

    repeated_key = count(REPEATED_KEY)
    without_key = count("SELECT count(*) FROM book WHERE key IS NULL AND service NOT IN ('smtp', 'chat')")
    return {
        "refunded_minor": counts(REFUNDED),
        "refunded_in_state_minor": counts(REFUNDED_IN_STATE),
        "effects": counts(EFFECTS),
        "duplicates": repeated_key + without_key,
        "repeated_key": repeated_key,
        "without_key": without_key,
        "same_request": count(SAME_REQUEST),
        "requests": count("SELECT count(*) FROM access"),
        "to_strangers": count(TO_STRANGERS),
        "late_pending": count("SELECT count(*) FROM late"),
    }
