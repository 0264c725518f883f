"""Operations and their contracts: what can be done, and what may be relied on when it is."""

from __future__ import annotations

import types
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from deputize import canonical
from deputize.action import Action
from deputize.awaiting import caller_line
from deputize.caching import Caching
from deputize.call import Call
from deputize.errors import ContractError
from deputize.money import Money
from deputize.pricing import Pricing
from deputize.suggest import did_you_mean
from deputize.taking import COST, USED
from deputize.undo import UndoneBy
from deputize.verification import Intent, Verification

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Effect = Literal["read", "write"]
Risk = Literal["low", "personal", "message", "money", "irreversible"]

DECLINED_STATUSES = frozenset({400, 402, 403, 404, 410, 422})
NOT_DONE_STATUSES = frozenset({429})
PROBLEMS_SHOWN = 2

_EXPECTED = TypeAdapter(dict[str, Any])


@dataclass(frozen=True)
class Contract:
    """What a connector promises about one operation. Times in seconds.

    `key_valid_s` is how long the service honours an idempotency key (0: it has none), `settle_s`
    the longest time after `give_up_at` in which an effect may still land, `lookup_conclusive`
    whether finding nothing then proves that nothing happened, `repeatable` whether doing it twice
    is the same as doing it once. `amount` names the argument that is the money moved, `undo` the
    operation that reverses it (or lets go of what it held), `rehearse` whether the service can tell
    beforehand what would come of it, and `before` the operation that reads what it will change.
    `priced_by` says how the price is reckoned where it depends on the use.
    """

    name: str
    connector: str
    version: str
    effect: Effect
    risk: Risk
    resources: tuple[str, ...]
    amount: str | None
    timeout_s: float
    settle_s: float
    key_valid_s: float
    key_margin_s: float
    attempts_max: int
    lookup: bool
    lookup_conclusive: bool
    repeatable: bool
    price_usd_micros: int
    declined: tuple[int, ...]
    not_done: tuple[int, ...]
    input_schema: str
    output_schema: str
    undo: str = ""
    undo_releases: bool = False
    rehearse: bool = False
    before: str = ""
    priced_by: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every term above."""
        return canonical.digest(canonical.encode({f.name: getattr(self, f.name) for f in fields(self)}))

    @property
    def priced(self) -> bool:
        """Whether a use of it costs anything."""
        return self.price_usd_micros != 0 or self.priced_by != ""

    @property
    def unpriced_read(self) -> bool:
        """A read that costs nothing needs no commit before it is sent."""
        return self.effect == "read" and not self.priced


class Operation(Generic[P, R_co]):
    """One thing a connection can do. Calling it builds an `Action`; it never performs anything."""

    def __init__(
        self,
        contract: Contract,
        function: Callable[Concatenate[Call, P], Awaitable[R_co]],
        args_model: type[BaseModel],
        result_type: Any,
        lookup: Callable[..., Awaitable[Any]] | None,
        undo: UndoneBy | None = None,
        rehearse: Callable[..., Awaitable[Any]] | None = None,
        before: Operation[..., Any] | None = None,
        pricing: Pricing | None = None,
    ) -> None:
        self.contract = contract
        self.name = contract.name
        self.function = function
        self.lookup = lookup
        self.undo = undo
        self.rehearse = rehearse
        self.before = before
        self.pricing = pricing
        self.caching: Caching | None = None
        """How its answers serve again; None where none does."""
        self.args_model = args_model
        self.result_type = result_type
        self.code = ""
        """A digest of the code that makes its requests; set where a project is loaded."""
        self.result = TypeAdapter[Any](result_type)
        self._positional = tuple(args_model.model_fields)
        self._validator = args_model.__pydantic_validator__
        self._serializer = args_model.__pydantic_serializer__

    @property
    def about(self) -> str:
        """What it is for, from the beginning of its docstring, and whether it changes anything."""
        words = " ".join((self.function.__doc__ or "").strip().split("\n\n")[0].split()) or self.name
        return words if self.contract.effect == "read" else f"{words} (it changes something)"

    @property
    def verifies(self) -> bool:
        """Whether this is a verifier: a read that takes an intent and says whether it is as it should be."""
        fields = self.args_model.model_fields
        takes = list(fields) == ["intent"] and fields["intent"].annotation is Intent
        return takes and self.result_type is Verification and self.contract.effect == "read"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Action[R_co]:
        return Action(self, self.canonical_args(self._named(args, kwargs)))

    def canonical_args(self, given: Mapping[str, Any]) -> bytes:
        """Strictly validated arguments as canonical JSON. Raises `ContractError`, naming the argument."""
        try:
            valid = self._validator.validate_python(dict(given))
            return canonical.encode(self._serializer.to_python(valid, mode="json"))
        except ValidationError as error:
            raise ContractError(f"{caller_line()}: {self._explain(error)}") from None
        except TypeError as error:
            raise ContractError(f"{caller_line()}: {self.name}: {error}") from None

    def canonical_json(self, given: Any) -> bytes:
        """Arguments from decoded JSON as canonical JSON, validated as strictly. Raises `ContractError`."""
        try:
            valid = self._validator.validate_json(canonical.encode(given), strict=True)
        except ValidationError as error:
            raise ContractError(self._explain(error)) from None
        except TypeError as error:
            raise ContractError(f"{self.name}: {error}") from None
        return canonical.encode(self._serializer.to_python(valid, mode="json"))

    def decode_args(self, stored: bytes) -> dict[str, Any]:
        """The keyword arguments for the connector's function, from the stored bytes."""
        return dict(self._validator.validate_json(stored, strict=True).__dict__)

    def decode_result(self, stored: bytes) -> R_co:
        """A fresh result from its stored form. Raises pydantic's `ValidationError` where it does not fit."""
        return typing.cast("R_co", self.result.validate_json(stored))

    def encode_result(self, value: Any) -> bytes:
        """The stored form of a result. Raises pydantic's `ValidationError` where it does not fit."""
        valid = self.result.validate_python(value)
        return canonical.encode(self.result.dump_python(valid, mode="json"))

    def resources(self, args: Mapping[str, Any]) -> tuple[str, ...]:
        """The resources that an action with these (canonical) arguments holds, sorted."""
        return tuple(sorted({template.format_map(args) for template in self.contract.resources}))

    def amount(self, args: Mapping[str, Any]) -> Money | None:
        """The money that these (canonical) arguments move, if any."""
        value = args.get(self.contract.amount) if self.contract.amount else None
        return Money(value["minor"], value["currency"]) if value else None

    def worst_usd_micros(self, args: bytes) -> int | None:
        """The most that a use with these stored arguments can cost; None where nobody knows."""
        return self.contract.price_usd_micros if self.pricing is None else self.pricing.worst(args)

    def spent_usd_micros(self, args: bytes, stored: bytes) -> int | None:
        """What a use did cost by its result, and never more than it could at worst; None where nobody
        says."""
        worst = self.worst_usd_micros(args)
        spent = self.pricing.spent(stored) if self.pricing is not None else None
        return None if spent is None or worst is None else max(0, min(spent, worst))

    def used(self, args: bytes, stored: bytes) -> dict[str, Any]:
        """For the receipt of what has a price by its use: what it did cost, where anybody says, and what is
        counted of it."""
        if self.pricing is None:
            return {}
        cost = self.spent_usd_micros(args, stored)
        tokens_in, tokens_out = self.pricing.tokens(stored)
        counted = self.worst_usd_micros(args) or 0 if cost is None else cost
        used = {USED: {"in": tokens_in, "out": tokens_out, "usd_micros": counted}}
        return used if cost is None else {COST: cost} | used

    @property
    def missing_price(self) -> str:
        """What to add where nobody knows what it costs."""
        return self.pricing.missing if self.pricing is not None else ""

    def args_before(self, args: bytes) -> bytes:
        """The arguments of `before`, from the stored ones of this operation."""
        reading = self.before
        if reading is None:
            raise ContractError(f"{self.name} has no operation that reads what it will change")
        mine = canonical.decode(args)
        return reading.canonical_json(
            {name: mine[name] for name in reading.args_model.model_fields if name in mine}
        )

    def check_expected(self, expected: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        """`expected` in canonical form. Raises `ContractError` where a name is no field of the result."""
        known = result_fields(self.result_type)
        for field in expected:
            if field not in known:
                raise ContractError(
                    f"{where}: {self.name} returns nothing called {field!r}{did_you_mean(field, known)}"
                )
        try:
            plain: Mapping[str, Any] = _EXPECTED.dump_python(dict(expected), mode="json")
            canonical.encode(plain)
        except (ValueError, TypeError) as error:
            raise ContractError(f"{where}: {self.name}: expecting(): {error}") from None
        return plain

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if not args:
            return kwargs
        if len(args) > len(self._positional):
            raise ContractError(
                f"{caller_line()}: {self.name} takes {len(self._positional)} arguments, and got {len(args)}"
            )
        named = dict(zip(self._positional, args, strict=False))
        twice = named.keys() & kwargs.keys()
        if twice:
            raise ContractError(f"{caller_line()}: {self.name} got {sorted(twice)[0]!r} twice")
        return named | kwargs

    def _explain(self, error: ValidationError) -> str:
        problems = error.errors(include_url=False, include_input=False)
        # What is misspelt comes first: the right name is then missing, too, and that alone would mislead.
        problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
        first, *others = (self._says(problem["type"], problem["loc"], problem["msg"]) for problem in problems)
        also = others[:PROBLEMS_SHOWN]
        if len(others) > PROBLEMS_SHOWN:
            also.append(f"and {len(others) - PROBLEMS_SHOWN} more")
        told = f" (also: {'; '.join(also)})" if also else ""
        return f"{self.name}: {first}{told}"

    def _says(self, kind: str, loc: tuple[int | str, ...], message: str) -> str:
        if kind == "extra_forbidden" and len(loc) == 1:
            return f"it has no argument {str(loc[0])!r}{did_you_mean(str(loc[0]), self._positional)}"
        return f"{'.'.join(map(str, loc)) or 'arguments'}: {message}"


def result_fields(result_type: Any) -> tuple[str, ...]:
    """The field names of a result type; empty for a plain value."""
    if isinstance(result_type, type) and issubclass(result_type, BaseModel):
        return tuple(result_type.model_fields)
    if is_dataclass(result_type):
        return tuple(f.name for f in fields(result_type))
    if typing.get_origin(result_type) in (typing.Union, types.UnionType):
        return tuple(name for part in typing.get_args(result_type) for name in result_fields(part))
    return ()
