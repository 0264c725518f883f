"""Whose word counts, and for how much: whatever is demanded and whoever grants it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.approval import Approval, Asking, Demand, binding_of, used_for
from deputize.person import Directory, Person

NAMES = ("ann", "bob", "cem", "dee", "eva")
LABELS = ("finance", "night")
BINDINGS = ("this", "that")
HOUR_US = 3_600_000_000

directories = st.builds(
    lambda roles, keeper: Directory(
        {name: Person(name, roles=frozenset(own)) for name, own in zip(NAMES, roles, strict=True)},
        {"returns": keeper} if keeper else {},
    ),
    st.lists(st.sets(st.sampled_from(LABELS)), min_size=5, max_size=5),
    st.none() | st.sampled_from(NAMES),
)
whom = st.lists(st.sampled_from([*NAMES, *LABELS, "keeper"]), max_size=3).map(tuple)
demands = st.builds(
    lambda whom, people, then, after, tier: Demand(tier, whom, people, then=then, then_after_s=float(after)),
    whom,
    st.integers(1, 3),
    whom,
    st.integers(0, 2 * 3_600),
    st.sampled_from(["approval"] * 9 + ["verify"]),
)
askings = st.builds(
    Asking,
    st.just("returns"),
    st.just("this"),
    st.just(10),
    st.frozensets(st.sampled_from(NAMES), max_size=2),
    st.none() | st.integers(10, 3 * HOUR_US),
    st.sampled_from(NAMES),
)
grants = st.lists(
    st.tuples(st.sampled_from([*NAMES, "zoe"]), st.sampled_from(BINDINGS), st.integers(0, 3 * HOUR_US)),
    max_size=12,
).map(
    lambda given: [Approval(no, binding, person, 10 + at) for no, (person, binding, at) in enumerate(given)]
)


def meant(whom: tuple[str, ...], directory: Directory) -> set[str]:
    """Those who are asked, read plainly."""
    keeper, names = directory.keepers.get("returns"), set(whom) or {"keeper"}
    if keeper is None and names == {"keeper"}:
        return set(NAMES)
    return {p.name for p in directory.people.values() if names & {p.name, *p.roles}} | (
        {keeper} if keeper is not None and "keeper" in names else set()
    )


def may(asking: Asking, demand: Demand, one: Approval, directory: Directory) -> bool:
    """Whether an approval counts, read plainly."""
    late = bool(demand.then) and one.at_us - asking.asked_at_us >= demand.then_after_s * 1e6
    asked = meant(demand.whom, directory) | (meant(demand.then, directory) if late else set())
    handed_us = asking.handed_at_us
    if handed_us is not None and one.at_us >= handed_us:
        late = bool(demand.then) and handed_us - asking.asked_at_us >= demand.then_after_s * 1e6
        could = meant(demand.whom, directory) | (meant(demand.then, directory) if late else set())
        asked |= {directory.keepers.get("returns", "nobody")} if asking.handed_by in could else set()
    return one.binding == asking.binding and one.person in asked - asking.requesters


@settings(max_examples=300, deadline=None)
@given(askings, st.lists(demands, max_size=3), grants, directories)
def test_demands_are_met_by_enough_different_people_who_may_and_by_nothing_else(
    asking: Asking, wanted: list[Demand], given_: list[Approval], directory: Directory
) -> None:
    people = [{one.person for one in given_ if may(asking, demand, one, directory)} for demand in wanted]
    met = all(
        len(found) >= demand.people and demand.tier == "approval"
        for found, demand in zip(people, wanted, strict=True)
    )
    assert (used_for(asking, wanted, given_, directory) is not None) == met


@settings(max_examples=200, deadline=None)
@given(askings, st.lists(demands, max_size=3), grants, directories)
def test_what_is_used_meets_the_demands_without_the_rest(
    asking: Asking, wanted: list[Demand], given_: list[Approval], directory: Directory
) -> None:
    used = used_for(asking, wanted, given_, directory)
    if used is None:
        return
    assert set(used) <= set(given_) and len(set(used)) == len(used)
    assert not {one.person for one in used} & asking.requesters
    assert {one.binding for one in used} <= {asking.binding}
    assert len(used) <= sum(demand.people for demand in wanted)
    assert used_for(asking, wanted, used, directory) is not None
    if len(wanted) == 1:
        assert len(used) == wanted[0].people == len({one.person for one in used})


@settings(max_examples=200, deadline=None)
@given(askings, st.lists(demands, max_size=3), grants, grants, directories)
def test_more_grants_never_make_a_demand_unmet(
    asking: Asking, wanted: list[Demand], given_: list[Approval], more: list[Approval], directory: Directory
) -> None:
    if used_for(asking, wanted, given_, directory) is not None:
        later = [replace(one, no=one.no + 100) for one in more]
        assert used_for(asking, wanted, [*given_, *later], directory) is not None
        assert used_for(asking, wanted, [*later, *given_], directory) is not None


@settings(max_examples=200, deadline=None)
@given(askings, st.lists(demands, min_size=1, max_size=3), grants, directories)
def test_one_demand_more_is_never_met_by_less(
    asking: Asking, wanted: list[Demand], given_: list[Approval], directory: Directory
) -> None:
    if used_for(asking, wanted, given_, directory) is not None:
        assert used_for(asking, wanted[1:], given_, directory) is not None
    stricter = replace(
        asking, requesters=asking.requesters | {given_[0].person} if given_ else frozenset(NAMES)
    )
    if used_for(stricter, wanted, given_, directory) is not None:
        assert used_for(asking, wanted, given_, directory) is not None


TEXT = st.text(max_size=6)
PARTS = st.tuples(TEXT, TEXT, TEXT, TEXT, TEXT, st.frozensets(TEXT, max_size=3))


@settings(max_examples=200, deadline=None)
@given(PARTS, PARTS)
def test_a_binding_is_of_all_its_parts(
    one: tuple[str, str, str, str, str, frozenset[str]], other: tuple[str, str, str, str, str, frozenset[str]]
) -> None:
    assert (binding_of(*one) == binding_of(*other)) == (one == other)
    for place in range(5):
        changed = (*one[:place], one[place] + "x", *one[place + 1 :])
        assert binding_of(*changed) != binding_of(*one)  # type: ignore[arg-type]
