"""Money: integer minor units and a currency, never a float."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

# ISO 4217 currencies whose minor unit is not a hundredth.
_DIGITS = {"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3} | dict.fromkeys(
    ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF"], 0
)
_TEXT = re.compile(r"(-?)(\d{1,15})(?:\.(\d{1,3}))? ([A-Z]{3})")


def money_of(value: Any) -> Money | None:
    """The money that a stored value is; None where it is anything else, however alike it looks."""
    if not isinstance(value, Mapping) or value.keys() != {"minor", "currency"}:
        return None
    minor, currency = value["minor"], value["currency"]
    known = type(minor) is int and isinstance(currency, str) and re.fullmatch(r"[A-Z]{3}", currency)
    return Money(minor, currency) if known else None


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount: `minor` units (cents) of an ISO 4217 `currency`. In JSON `{"currency", "minor"}`."""

    minor: int
    currency: str

    @classmethod
    def parse(cls, text: str) -> Money:
        """`"50.00 EUR"` → `Money(5000, "EUR")`. Raises `ValueError` and says what the form is."""
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not an amount of money; write it like '50.00 EUR'")
        sign, whole, fraction, currency = match.groups()
        places = _DIGITS.get(currency, 2)
        if len(fraction or "") > places:
            raise ValueError(f"{text!r}: {currency} has {places} decimal places")
        minor = int(whole) * 10**places + int((fraction or "").ljust(places, "0") or 0)
        return cls(-minor if sign else minor, currency)

    def __str__(self) -> str:
        places = _DIGITS.get(self.currency, 2)
        return f"{Decimal(self.minor).scaleb(-places):.{places}f} {self.currency}"

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._same(other)

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise ValueError(f"{self} and {other} are in different currencies and cannot be compared")
        return other.minor

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # The plain record comes first: it is the stored form. Text is for people's files.
        minor = core_schema.int_schema(strict=True, ge=-(2**53), le=2**53)
        currency = core_schema.str_schema(pattern=r"^[A-Z]{3}$")
        record = core_schema.dataclass_schema(
            cls,
            core_schema.dataclass_args_schema(
                "Money",
                [
                    core_schema.dataclass_field("minor", minor, kw_only=False),
                    core_schema.dataclass_field("currency", currency, kw_only=False),
                ],
            ),
            ["minor", "currency"],
            slots=True,
        )
        text = core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())
        return core_schema.union_schema(
            [record, text],
            mode="left_to_right",
            serialization=core_schema.plain_serializer_function_ser_schema(
                _plain, return_schema=core_schema.dict_schema()
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The canonical form alone: that is what contracts promise and rules see."""
        return {
            "title": "Money",
            "type": "object",
            "properties": {
                "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
                "minor": {"type": "integer", "minimum": -(2**53), "maximum": 2**53},
            },
            "required": ["currency", "minor"],
            "additionalProperties": False,
        }


def _plain(money: Money) -> dict[str, Any]:
    return {"currency": money.currency, "minor": money.minor}
