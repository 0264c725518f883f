"""The shop's data at the start of every world: read once, amounts held as integer minor units.

The files are third-party and live beside the repository, never in it: `$DEPUTIZE_SHARED_DATA/retail`, or
`../shared/data/retail` next to the repository's root.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

Record = dict[str, Any]

REPO = Path(__file__).resolve().parents[3]
MONEY_FIELDS = frozenset({"price", "amount", "balance", "exchange_price_difference"})


@dataclass(frozen=True)
class Base:
    """What every world starts from. Never changed; amounts are integer minor units."""

    orders: Mapping[str, Record]
    users: Mapping[str, Record]
    products: Mapping[str, Record]
    operations: Mapping[str, Record]  # name → the JSON schema of its parameters


def data_folder() -> Path:
    """The folder of the retail data; it may be absent, which the caller must check."""
    shared = os.environ.get("DEPUTIZE_SHARED_DATA")
    return (Path(shared) if shared else REPO.parent / "shared" / "data") / "retail"


def load_base(folder: Path) -> Base:
    """Read the data files of `folder`. Raises OSError if one is missing, ValueError on half a cent."""
    operations = json.loads((folder / "operations.json").read_text("utf-8"))
    return Base(
        orders=_records(folder / "orders.json"),
        users=_records(folder / "users.json"),
        products=_records(folder / "products.json"),
        operations={operation["name"]: operation["parameters"] for operation in operations},
    )


def to_decimals(node: Any) -> Any:
    """A copy of `node` as the shop shows it: minor units become decimals (1234 → 12.34)."""
    if isinstance(node, dict):
        return {
            name: value / 100 if name in MONEY_FIELDS else to_decimals(value) for name, value in node.items()
        }
    if isinstance(node, list):
        return [to_decimals(value) for value in node]
    return node


def _records(path: Path) -> dict[str, Record]:
    # Decimal, not float: 12.34 * 100 must be exactly 1234 or be refused.
    records: dict[str, Record] = _to_minor(json.loads(path.read_text("utf-8"), parse_float=Decimal))
    return records


def _to_minor(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _cents(v) if name in MONEY_FIELDS else _to_minor(v) for name, v in node.items()}
    if isinstance(node, list):
        return [_to_minor(value) for value in node]
    return node


def _cents(amount: Decimal | int) -> int:
    cents = amount * 100
    if cents != int(cents):
        raise ValueError(f"{amount} is not a whole number of cents")
    return int(cents)
