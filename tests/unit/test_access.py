"""Roles: what each may, and what the labels of a person come to."""

from __future__ import annotations

import pytest

from deputize.access import ACTS, LEAST, ROLES, SAID, WITHOUT_A_PERSON, may, narrowed, role_of, roles_for
from deputize.errors import ProjectError
from deputize.person import Directory, Person, directory_of_settings


def test_every_act_has_its_role_and_its_words() -> None:
    assert set(LEAST) == set(SAID) == set(ACTS)
    assert all(acts <= set(ACTS) for acts in WITHOUT_A_PERSON.values())


def test_nobody_who_is_no_person_decides() -> None:
    for acts in WITHOUT_A_PERSON.values():
        assert not acts & {"decide", "operate", "change", "move"}


def test_each_role_may_all_that_a_lesser_one_may() -> None:
    for act in ACTS:
        allowed = [may(role, act) for role in ROLES]
        assert allowed == sorted(allowed) and allowed[-1], act
        assert list(roles_for(act)) == [role for role in ROLES if may(role, act)]


@pytest.mark.parametrize(
    ("labels", "role"),
    [
        ([], "approver"),
        (["finance"], "approver"),
        (["viewer"], "viewer"),
        (["viewer", "finance"], "viewer"),
        (["approver", "viewer"], "approver"),
        (["operator", "finance"], "operator"),
        (["owner"], "admin"),
        (["admin"], "admin"),
        (["viewer", "owner"], "admin"),
        (["Admin"], "approver"),
        (["administrator"], "approver"),
    ],
)
def test_the_furthest_of_a_persons_labels_is_their_role(labels: list[str], role: str) -> None:
    assert Person("maya", roles=frozenset(labels)).role == role_of(labels) == role


def test_a_group_gives_no_role() -> None:
    assert Person("maya", groups=frozenset({"admin"})).role == "approver"


def test_a_scope_narrows_and_never_widens() -> None:
    for role in ROLES:
        assert narrowed(role, None) == role
        for scope in ROLES:
            assert narrowed(role, scope) == min(role, scope, key=ROLES.index)


def test_nothing_is_asked_of_a_viewer() -> None:
    people = {
        name: Person(name, roles=frozenset(roles))
        for name, roles in (("maya", ["finance", "viewer"]), ("kim", ["finance"]), ("ines", ["viewer"]))
    }
    directory = Directory(people)
    assert directory.among(("finance",), "any") == {"kim"}
    assert directory.among(("maya",), "any") == frozenset()
    assert directory.among((), "any") == {"kim"}


def test_a_viewer_keeps_no_automation() -> None:
    with pytest.raises(
        ProjectError, match=r"\[keepers\] default: kim is a viewer, and a keeper has to decide"
    ):
        directory_of_settings({"kim": {"roles": ["viewer"]}}, {"default": "kim"})
