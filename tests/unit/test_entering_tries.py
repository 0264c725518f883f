"""How often a log-in may be tried: nobody is locked out for ever, and nothing grows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deputize.entering.tries import IN_ALL, KEYS_MAX, OF_NAME, OF_NAME_AND_PLACE, Limit, Tries

FEW = Limit(3, 10.0)


def test_so_many_at_once_and_then_one_after_each_while() -> None:
    tries = Tries()
    assert [tries.take([(("a",), FEW)], 0.0) for _ in range(3)] == [0, 0, 0]
    assert tries.take([(("a",), FEW)], 0.0) == 10.0
    assert tries.take([(("a",), FEW)], 4.0) == 6.0
    assert tries.take([(("a",), FEW)], 10.0) == 0.0
    assert tries.take([(("a",), FEW)], 10.0) == 10.0
    assert tries.take([(("b",), FEW)], 10.0) == 0.0
    assert [tries.take([(("a",), FEW)], 1_000.0) for _ in range(4)] == [0, 0, 0, 10.0]


def test_what_is_refused_uses_nothing_up() -> None:
    tries = Tries()
    for _ in range(3):
        tries.take([(("a", "here"), FEW)], 0.0)
    for _ in range(100):
        assert tries.take([(("a", "here"), FEW), (("a",), FEW)], 0.0) > 0
    assert [tries.take([(("a",), FEW)], 0.0) for _ in range(3)] == [0, 0, 0]


def test_whoever_had_the_right_word_begins_anew() -> None:
    tries = Tries()
    for _ in range(3):
        tries.take([(("a",), FEW)], 0.0)
    tries.forget(("a",))
    assert tries.take([(("a",), FEW)], 0.0) == 0.0


def test_one_place_uses_up_its_own_tries_long_before_those_of_a_name() -> None:
    """Whoever tries from another place finds some left, however long that goes on."""
    tries, now_s = Tries(), 0.0
    for _ in range(10_000):
        tries.take(_log_in("maya", "elsewhere"), now_s)
        now_s += 0.25
    assert tries.take(_log_in("maya", "at home"), now_s) == 0.0
    assert tries.take(_log_in("kim", "elsewhere"), now_s) == 0.0


def test_no_bucket_is_kept_for_ever_and_there_are_so_many_at_most() -> None:
    tries = Tries()
    for number in range(3 * KEYS_MAX):
        tries.take([((str(number),), FEW)], number / 1_000)
    assert len(tries) <= KEYS_MAX
    for _ in range(3):
        tries.take([(("late",), FEW)], 30.0)
    assert tries.take([(("late",), FEW)], 30.0) > 0, "the latest are kept"
    for number in range(KEYS_MAX + 1):
        tries.take([((f"new {number}",), FEW)], 10_000.0)
    assert len(tries) <= KEYS_MAX + 1


@given(st.lists(st.floats(0.0, 20.0), max_size=60), st.integers(1, 5), st.floats(0.5, 30.0))
def test_never_more_in_any_time_than_the_limit_says(gaps: list[float], at_once: int, every_s: float) -> None:
    tries, now_s, taken = Tries(), 0.0, []
    for gap in gaps:
        now_s += gap
        wait_s = tries.take([(("a",), Limit(at_once, every_s))], now_s)
        if wait_s == 0:
            taken.append(now_s)
        else:
            assert wait_s <= every_s * 1.000001, "nobody waits for more than one try"
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= at_once + (taken[last] - begin) / every_s + 1.000001


def _log_in(name: str, place: str) -> list[tuple[tuple[str, ...], Limit]]:
    own = (("name", name, place), OF_NAME_AND_PLACE)
    return [own, (("name", name), OF_NAME), (("all",), IN_ALL)]
