"""Connectors: the operations of one connection, each a typed function with a contract."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from deputize import canonical
from deputize.awaiting import caller_line
from deputize.call import Call
from deputize.errors import ContractError
from deputize.money import Money
from deputize.operation import Contract, Effect, Operation, Risk
from deputize.pricing import Pricing
from deputize.suggest import did_you_mean
from deputize.undo import UndoneBy

P = ParamSpec("P")
R = TypeVar("R")

DECLINED_STATUSES = frozenset({400, 402, 403, 404, 410, 422})
NOT_DONE_STATUSES = frozenset({429})


class Connector:
    """A connection's operations: the module that makes one is the connector.

    `name` is the first part of every operation's name; `version` that of the service's contract.
    Where it is and how to log in stand in the project's settings, not here.
    """

    def __init__(self, name: str, *, version: str) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
            raise ContractError(f"{caller_line()}: {name!r} is not a connector name: use a-z, 0-9 and _")
        self.name = name
        self.version = version
        self.operations: dict[str, Operation[..., Any]] = {}

    def operation(
        self,
        *,
        effect: Effect,
        risk: Risk = "low",
        resource: str | tuple[str, ...] = (),
        amount: str | None = None,
        timeout_s: float = 30.0,
        settle_s: float = 60.0,
        key_valid: timedelta = timedelta(0),
        key_margin: timedelta = timedelta(hours=1),
        attempts_max: int = 5,
        lookup: Callable[..., Awaitable[Any]] | None = None,
        lookup_conclusive: bool = False,
        repeatable: bool = False,
        price_usd_micros: int = 0,
        declined: frozenset[int] = DECLINED_STATUSES,
        not_done: frozenset[int] = NOT_DONE_STATUSES,
        undo: UndoneBy | None = None,
        rehearse: Callable[..., Awaitable[Any]] | None = None,
        before: Operation[..., Any] | None = None,
        pricing: Pricing | None = None,
    ) -> Callable[[Callable[Concatenate[Call, P], Awaitable[R]]], Operation[P, R]]:
        """Make a typed function an operation. See `Contract` for the terms.

        The function takes a `Call` and the arguments, and returns the result *as consumed*: a pydantic model
        of just the fields and values that automations rely on. `rehearse` takes the same and returns the
        result that the function would, without any effect: its `Call` may only GET. `before` is a read of
        this connector whose arguments are among this one's. `pricing` is of a read whose price depends on its
        use. Raises `ContractError` for terms that contradict each other.
        """

        def decorate(function: Callable[Concatenate[Call, P], Awaitable[R]]) -> Operation[P, R]:
            short = getattr(function, "__name__", "operation")
            name = f"{self.name}.{short}"
            where = caller_line()
            if name in self.operations:
                raise ContractError(f"{where}: {name} is defined twice")
            args_model, result_type, money = _types_of(function, name, where)
            contract = Contract(
                name=name,
                connector=self.name,
                version=self.version,
                effect=effect,
                risk=risk,
                resources=(resource,) if isinstance(resource, str) else resource,
                amount=amount or (money[0] if len(money) == 1 and risk == "money" else None),
                timeout_s=timeout_s,
                settle_s=settle_s,
                key_valid_s=key_valid.total_seconds(),
                key_margin_s=key_margin.total_seconds(),
                attempts_max=attempts_max,
                lookup=lookup is not None,
                lookup_conclusive=lookup_conclusive,
                repeatable=repeatable,
                price_usd_micros=price_usd_micros,
                declined=tuple(sorted(declined)),
                not_done=tuple(sorted(not_done)),
                input_schema=canonical.encode(args_model.model_json_schema()).decode(),
                output_schema=canonical.encode(TypeAdapter(result_type).json_schema()).decode(),
                undo=undo.operation.name if undo is not None else "",
                undo_releases=undo is not None and undo.releases,
                rehearse=rehearse is not None,
                before=before.name if before is not None else "",
                priced_by=pricing.terms if pricing is not None else "",
            )
            _check(contract, tuple(args_model.model_fields), money, where)
            _check_before(contract, tuple(args_model.model_fields), before, where)
            operation = Operation(
                contract, function, args_model, result_type, lookup, undo, rehearse, before, pricing
            )
            self.operations[name] = operation
            return operation

        return decorate


def _types_of(function: Callable[..., Any], name: str, where: str) -> tuple[type[BaseModel], Any, list[str]]:
    if not inspect.iscoroutinefunction(function):
        raise ContractError(f"{where}: {name} must be an `async def`")
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or hints.get(parameters[0].name) is not Call:
        raise ContractError(f"{where}: the first parameter of {name} must be `call: Call`")
    if "return" not in hints:
        raise ContractError(f"{where}: {name} needs a return type: the result as consumed")
    definitions: dict[str, Any] = {}
    money: list[str] = []
    for parameter in parameters[1:]:
        hint = hints.get(parameter.name)
        if hint is None or parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ContractError(f"{where}: {name}: parameter {parameter.name!r} needs a name and a type")
        default = ... if parameter.default is parameter.empty else parameter.default
        definitions[parameter.name] = (hint, Field(default))
        if hint is Money:
            money.append(parameter.name)
    config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    model = create_model(name.replace(".", "_"), __config__=config, **definitions)
    return model, hints["return"], money


def _check(contract: Contract, names: tuple[str, ...], money: list[str], where: str) -> None:
    for template in contract.resources:
        for field in re.findall(r"\{(\w+)[^}]*\}", template):
            if field not in names:
                raise ContractError(
                    f"{where}: {contract.name}: resource {template!r} names {field!r}, "
                    f"which is no argument{did_you_mean(field, names)}"
                )
    if contract.amount is not None and contract.amount not in money:
        raise ContractError(f"{where}: {contract.name}: amount={contract.amount!r} is no Money argument")
    if contract.risk == "money" and contract.effect == "write" and contract.amount is None and money:
        raise ContractError(f"{where}: {contract.name}: say which argument is the money moved: amount=…")
    if contract.timeout_s <= 0 or contract.settle_s < 0:
        raise ContractError(f"{where}: {contract.name}: timeout_s must be above 0, settle_s not below")
    if not 1 <= contract.attempts_max <= 100:
        raise ContractError(f"{where}: {contract.name}: attempts_max must be 1 to 100")
    if contract.undo and contract.effect == "read":
        raise ContractError(f"{where}: {contract.name} only reads; there is nothing to undo")
    if contract.lookup_conclusive and not contract.lookup:
        raise ContractError(f"{where}: {contract.name}: lookup_conclusive needs a lookup")
    if contract.effect == "read" and (contract.rehearse or contract.before):
        raise ContractError(f"{where}: {contract.name} only reads; there is nothing to rehearse")
    if contract.priced_by and contract.effect != "read":
        raise ContractError(f"{where}: {contract.name}: only a read can have a price that depends on its use")


def _check_before(
    contract: Contract, names: tuple[str, ...], before: Operation[..., Any] | None, where: str
) -> None:
    if before is None:
        return
    if before.contract.effect != "read" or before.contract.connector != contract.connector:
        raise ContractError(
            f"{where}: {contract.name}: before={before.name}: it must be a read of {contract.connector}"
        )
    for name, field in before.args_model.model_fields.items():
        if field.is_required() and name not in names:
            raise ContractError(
                f"{where}: {contract.name}: before={before.name} needs {name!r}, which is no argument of this"
                f"{did_you_mean(name, names)}"
            )
