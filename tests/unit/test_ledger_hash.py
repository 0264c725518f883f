"""The form of the chain never changes: every ledger ever written must verify."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.ledger import GENESIS, body_digest, entry_hash

DIGEST = "63882c2a8d68a644c3605581dd0b8eb4b6e17845d0f01e67cc5189b7ab1119c7"
HASH = "8596f63e807a1feda936cbb897beba84ee1df6422a1f5d9d4cb71a38bf2718cb"
PLACE = (GENESIS, "ledger-1", "run-a", 1, "began", 1_700_000_000_000_000)


def test_a_bodys_digest_is_its_hmac_under_its_salt() -> None:
    assert body_digest(b"s" * 16, b'{"a":1}').hex() == DIGEST
    assert body_digest(b"t" * 16, b'{"a":1}').hex() != DIGEST


@given(salt=st.binary(max_size=64), body=st.binary(max_size=300))
def test_it_is_the_hmac_that_others_compute(salt: bytes, body: bytes) -> None:
    assert body_digest(salt, body) == hmac.digest(salt, body, "sha256")


def test_an_entrys_hash_covers_its_place_and_its_bodys_digest() -> None:
    assert entry_hash(*PLACE, bytes.fromhex(DIGEST)).hex() == HASH


@pytest.mark.parametrize(
    ("part", "other"),
    [(0, b"\1" + bytes(31)), (1, "ledger-2"), (2, "run-b"), (3, 2), (4, "ended"), (5, 1_700_000_000_000_001)],
)
def test_no_part_of_an_entrys_place_can_change_unseen(part: int, other: bytes | str | int) -> None:
    place = [*PLACE]
    place[part] = other
    assert entry_hash(*place, bytes.fromhex(DIGEST)).hex() != HASH  # type: ignore[arg-type]
