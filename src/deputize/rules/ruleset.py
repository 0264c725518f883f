"""A set of rules in force: loaded whole or not at all, parsed once, judged for every action.

**Why a slice per operation gives the same verdict as the whole set.** A policy whose action scope
does not match the request is not satisfied, and Cedar evaluates the scope before the conditions, so
it can neither decide nor fail. There is no hierarchy of actions in our schema: `in` means `==`. What
is left out of a slice is exactly the policies whose scope names only other operations, so decision,
deciding policies and errors stay the same; a property test compares the two.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cedarpy
import orjson

from deputize.errors import RuleError
from deputize.finding import INQUIRING
from deputize.operation import Operation
from deputize.person import Directory
from deputize.rule import FactNeed, Question, RuleLine, Verdict
from deputize.rules.alike import Alike, Kind
from deputize.rules.cedar_files import parse_policy, policy_set, read_cedar
from deputize.rules.compile import Known, compile_form
from deputize.rules.demands import unmeetable
from deputize.rules.files import read_folder
from deputize.rules.forms import Problem, read_forms
from deputize.rules.inquirable import inquirable
from deputize.rules.loaded import LoadedRule, why_barred
from deputize.rules.reading import reads_of
from deputize.rules.schema import Context, View, cedar_schema, view_of
from deputize.suggest import did_you_mean

RULES_MAX = 5_000
KINDS_MAX = 4_096
"""Kinds of questions whose verdict is kept, for each operation."""

_NOBODY = cedarpy.Entities.from_json_str("[]")


def load_rules(
    folder: Path,
    operations: Mapping[str, Operation[..., Any]],
    *,
    agents: Collection[str] | None = None,
    automations: Collection[str] | None = None,
    directory: Directory | None = None,
    events: Collection[str] | None = None,
) -> CedarRules:
    """The rules of a project's folder: `*.toml` forms and `*.cedar` files.

    `agents` and `automations` are the names that rules may use, `directory` the people whom they may ask,
    `events` the types of events that come in; None leaves them unchecked. Raises one `RuleError` for
    everything that is wrong, a line each: `rules/refunds.toml:12: …`.
    """
    texts, problems = read_folder(folder)
    return _build(texts, Known(_views(operations), agents, automations, directory, events), problems)


def rules_from_text(
    texts: Mapping[str, str],
    operations: Mapping[str, Operation[..., Any]],
    *,
    agents: Collection[str] | None = None,
    automations: Collection[str] | None = None,
    directory: Directory | None = None,
    events: Collection[str] | None = None,
) -> CedarRules:
    """As `load_rules`, from texts by file name (ending in `.toml` or `.cedar`)."""
    return _build(texts, Known(_views(operations), agents, automations, directory, events), [])


@dataclass(frozen=True)
class _Slice:
    """The part of the set that can decide on one operation. `calm` is without the tiered forbids."""

    needs: tuple[FactNeed, ...]
    under_way: tuple[FactNeed, ...]
    context: Context
    schema: cedarpy.Schema
    policies: cedarpy.PolicySet
    calm: cedarpy.PolicySet | None
    action: dict[str, str]
    resource: dict[str, str]
    alike: Alike
    verdicts: dict[Kind, Verdict] = field(default_factory=dict)
    """What Cedar has said, by kind of question."""

    def request(self, agent: str, context: Mapping[str, Any]) -> dict[str, Any]:
        """The question for Cedar. Raises `TypeError` or `ValueError` where it cannot be put."""
        return {
            "principal": {"type": "Agent", "id": agent},
            "action": self.action,
            "resource": self.resource,
            "context": orjson.dumps(context).decode(),
        }

    def remember(self, kind: Kind, verdict: Verdict) -> None:
        """Give the same verdict to every question of this kind."""
        if len(self.verdicts) >= KINDS_MAX:
            self.verdicts.clear()
        self.verdicts[kind] = verdict


class CedarRules:
    """A `RuleSet` over Cedar. Made by `load_rules` and `rules_from_text`; immutable."""

    def __init__(
        self, rules: Sequence[LoadedRule], views: Mapping[str, View], texts: Mapping[str, str] | None = None
    ) -> None:
        self._rules = tuple(rules)
        self.texts = dict(texts or {})
        """What they were read from, by file name."""
        self._views = dict(views)
        counters = {name: tuple(need.counter for need in _needs(rules, name)) for name in views}
        patterns = {name: _origins(rules, name) for name in views}
        contexts = {
            name: Context(view, counters[name], origins=patterns[name], origins_of=view.traced)
            for name, view in views.items()
        }
        schema = cedar_schema(contexts)
        self._schema = cedarpy.Schema.from_json_str(schema)
        self._source = "\n\n".join([*(rule.cedar for rule in rules), f"// Schema: {schema}\n"])
        self._digest = hashlib.sha256(self._source.encode()).hexdigest()
        # Cedar numbers policies by their place in a text; ids of our own hold in every slice alike.
        parsed = [parse_policy(rule.cedar) for rule in rules]
        self._lines = {f"rule{i}": rule.rule for i, rule in enumerate(rules)}
        self._inquires = any(rule.rule.tier in INQUIRING for rule in rules)
        self._slices = {name: self._slice(name, contexts[name], parsed) for name in views}

    @property
    def digest(self) -> str:
        """SHA-256 over every rule and the schema."""
        return self._digest

    def source(self) -> str:
        """The whole set as Cedar text, with the schema as a comment at its end."""
        return self._source

    def explain(self) -> tuple[LoadedRule, ...]:
        """Every rule in force, in the order of files and lines, for tables."""
        return self._rules

    def needs(self, operation: str) -> tuple[FactNeed, ...]:
        """The counts that judging this operation takes; empty for an unknown one."""
        found = self._slices.get(operation)
        return found.needs if found else ()

    def under_way(self, operation: str) -> tuple[FactNeed, ...]:
        """The counts of actions under way that an action of this operation is part of."""
        found = self._slices.get(operation)
        return found.under_way if found else ()

    def demands(self, operation: str) -> bool:
        """Whether a rule of this operation may demand something before it starts."""
        found = self._slices.get(operation)
        return found is not None and found.calm is not None

    def bars(self, agent: str, automation: str, operation: str) -> str:
        """Why the rules let nothing of this operation start, whatever its arguments and the facts; empty
        where something may."""
        return why_barred(self._rules, agent, automation, operation)

    @property
    def inquires(self) -> bool:
        """Whether any rule wants something to be found out before an action starts."""
        return self._inquires

    def problems(self) -> list[Problem]:
        """What Cedar's strict validation says against each rule."""
        return [
            Problem(rule.file, rule.line, self._with_hint(error.error))
            for rule in self._rules
            for error in cedarpy.validate_policies(rule.cedar, self._schema).errors
        ]

    def judge(self, question: Question) -> Verdict:
        """Decide. Whatever cannot be evaluated is a refusal with its errors."""
        found = self._slices.get(question.operation)
        if found is None:
            return _broken(f"there is no operation {question.operation!r}")
        try:
            context = found.context.put(question)
        except KeyError as error:
            return _broken(f"there is no count for {error}")
        kind = found.alike.kind(question.agent, context)
        verdict = found.verdicts.get(kind) if kind is not None else None
        if verdict is None:
            verdict = self._asked(found, question.agent, context)
            if kind is not None and not verdict.errors:
                found.remember(kind, verdict)
        return verdict

    def _asked(self, found: _Slice, agent: str, context: Mapping[str, Any]) -> Verdict:
        """What Cedar says."""
        try:
            request = found.request(agent, context)
            result = cedarpy.is_authorized(request, found.policies, _NOBODY, found.schema)
            deciding = self._deciding(result)
            if isinstance(deciding, Verdict):
                return deciding
            if result.allowed:
                return Verdict("allow", deciding)
            hard = tuple(line for line in deciding if line.tier == "hard")
            if hard or not deciding or found.calm is None:
                return Verdict("refuse", hard)
            again = cedarpy.is_authorized(request, found.calm, _NOBODY, found.schema)
            permitting = self._deciding(again)
        except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            return _broken(str(error))
        if isinstance(permitting, Verdict):
            return permitting
        return Verdict("demand", deciding) if again.allowed else Verdict("refuse")

    def _deciding(self, result: cedarpy.AuthzResult) -> tuple[RuleLine, ...] | Verdict:
        """The rules that decided, in the order of the set; a refusal where Cedar reports any error."""
        errors = result.diagnostics.errors
        if errors or result.decision is cedarpy.Decision.NoDecision:
            return _broken(*map(self._with_titles, errors))
        reasons = result.diagnostics.reasons
        if len(reasons) == 1:
            return (self._lines[reasons[0]],)
        return tuple(self._lines[reason] for reason in sorted(reasons, key=_place))

    def _with_hint(self, error: str) -> str:
        """A validation error, with why an argument is unseen or what it may have meant."""
        readable = _readable(error)
        match = re.search(r'attribute `args\.(\w+)` in context for Action::"([^"]+)" not found', readable)
        view = self._views.get(match[2]) if match else None
        if match is None or view is None:
            return readable
        if match[1] in view.unseen:
            return f"rules cannot see {match[1]!r} of {view.operation}: it {view.unseen[match[1]]}"
        return readable + did_you_mean(match[1], view.attributes)

    def _with_titles(self, error: str) -> str:
        return re.sub(
            r"policy `(rule\d+)`",
            lambda m: f'rule "{self._lines[m[1]].title}"' if m[1] in self._lines else m[0],
            _readable(error),
        )

    def _slice(self, name: str, whole: Context, parsed: list[dict[str, Any]]) -> _Slice:
        mine = [(f"rule{i}", rule) for i, rule in enumerate(self._rules) if name in rule.operations]
        tiered = any(rule.rule.tier not in ("", "hard") for _, rule in mine)
        calm = [key for key, rule in mine if rule.rule.tier in ("", "hard")]
        context = whole.only(reads_of(parsed[_place(key)] for key, _ in mine))

        def policies(keys: list[str]) -> cedarpy.PolicySet:
            return policy_set({key: parsed[_place(key)] for key in keys})

        return _Slice(
            _needs(self._rules, name),
            _under_way(self._rules, name),
            context,
            cedarpy.Schema.from_json_str(cedar_schema({name: context})),
            policies([key for key, _ in mine]),
            policies(calm) if tiered else None,
            {"type": "Action", "id": name},
            {"type": "Connection", "id": self._views[name].connector},
            Alike(parsed[_place(key)] for key, _ in mine),
        )


def _broken(*errors: str) -> Verdict:
    return Verdict("refuse", (), errors or ("the rules gave no decision",))


def _place(key: str) -> int:
    return int(key.removeprefix("rule"))


def _origins(rules: Sequence[LoadedRule], operation: str) -> tuple[str, ...]:
    """The patterns of origins that rules of an operation look for."""
    return tuple(sorted({one for rule in rules if operation in rule.operations for one in rule.origins}))


def _needs(rules: Sequence[LoadedRule], operation: str) -> tuple[FactNeed, ...]:
    """The counts of an operation. One that several rules share is one need: it is counted once."""
    needs = (rule.need for rule in rules if rule.need is not None and operation in rule.operations)
    return tuple(dict.fromkeys(needs))


def _under_way(rules: Sequence[LoadedRule], operation: str) -> tuple[FactNeed, ...]:
    """The counts of actions under way that an operation's are part of."""
    needs = (rule.need for rule in rules if rule.need is not None and operation in rule.need.under_way)
    return tuple(dict.fromkeys(needs))


def _readable(error: str) -> str:
    return error.replace("for policy `policy0`, ", "").replace("\n", " ")


def _views(operations: Mapping[str, Operation[..., Any]]) -> dict[str, View]:
    return {name: view_of(operation) for name, operation in operations.items()}


def _build(texts: Mapping[str, str], known: Known, problems: list[Problem]) -> CedarRules:
    rules: list[LoadedRule] = []
    for file, text in texts.items():
        found, wrong = (read_cedar if file.endswith(".cedar") else _read_forms)(file, text, known)
        rules += found
        problems += wrong
    if len(rules) > RULES_MAX:
        raise RuleError(f"{rules[RULES_MAX].file}:1: there are more than {RULES_MAX} rules")
    problems += _duplicates(rules)
    problems += _unmeetable(rules, known)
    problems += _unfindable(rules, known)
    if not problems:
        loaded = CedarRules(rules, known.views, texts)
        problems = loaded.problems()
        if not problems:
            return loaded
    raise RuleError("\n".join(map(str, sorted(problems, key=lambda p: (p.file, p.line)))))


def _read_forms(file: str, text: str, known: Known) -> tuple[list[LoadedRule], list[Problem]]:
    forms, problems = read_forms(file, text)
    rules: list[LoadedRule] = []
    for line, form in forms:
        compiled = compile_form(file, line, form, known)
        if isinstance(compiled, LoadedRule):
            rules.append(compiled)
        else:
            problems += compiled
    return rules, problems


def _unmeetable(rules: list[LoadedRule], known: Known) -> list[Problem]:
    """The rules that ask people who are not there."""
    if known.directory is None:
        return []
    asking = [(rule, rule.rule.demand) for rule in rules if rule.rule.demand is not None]
    told = (
        (rule, unmeetable(demand, known.directory, rule.automations or known.automations or ()))
        for rule, demand in asking
    )
    return [Problem(rule.file, rule.line, f"{rule.rule.title!r} {why}") for rule, why in told if why]


def _unfindable(rules: list[LoadedRule], known: Known) -> list[Problem]:
    """The rules that want to be found out what nobody can tell."""
    problems = []
    for rule in rules:
        demand = rule.rule.demand
        if demand is not None and (why := inquirable(demand, rule.operations, known)):
            problems.append(Problem(rule.file, rule.line, f"{rule.rule.title!r} {why}"))
    return problems


def _duplicates(rules: list[LoadedRule]) -> list[Problem]:
    first: dict[str, LoadedRule] = {}
    problems = []
    for rule in rules:
        other = first.setdefault(rule.rule.id, rule)
        if other is not rule:
            said = (
                f"the id {rule.rule.id!r} is taken by {other.file}:{other.line}; give one of them another id"
            )
            problems.append(Problem(rule.file, rule.line, said))
    return problems
