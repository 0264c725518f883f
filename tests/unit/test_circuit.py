"""The circuit against a plain list of every call and when it ended."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deputize.call import CallBroken, CallDeclined, CallDrifted, CallNotDone, CallUnknown
from deputize.circuit import PAUSE_S_MAX, PIECES, Circuit, Terms, failing

TERMS = st.builds(
    Terms,
    failures_max=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    calls_min=st.integers(1, 8),
    window_s=st.sampled_from([10.0, 60.0]),
    pause_s=st.sampled_from([0.5, 1.0, 120.0]),
)
STEPS = st.lists(st.tuples(st.floats(0, 8), st.booleans()), max_size=60)


@given(TERMS, STEPS)
def test_it_opens_exactly_where_more_than_the_share_of_the_calls_in_its_window_failed(
    terms: Terms, steps: list[tuple[float, bool]]
) -> None:
    now_s, circuit, calls = 1_000.0, Circuit(terms), list[tuple[float, bool]]()
    piece_s = terms.window_s / PIECES
    for wait_s, failed in steps:
        now_s += wait_s
        circuit = circuit.heard(failed, now_s)
        calls.append((now_s, failed))
        first = int(now_s / piece_s) - PIECES + 1
        within = [one for at_s, one in calls if int(at_s / piece_s) >= first]
        bad = sum(within)
        assert circuit.figures(now_s) == (len(within), bad)
        assert len(circuit.pieces) <= PIECES
        past = failed and len(within) >= terms.calls_min and bad > terms.failures_max * len(within)
        assert circuit.is_open == past
        if past:
            assert circuit.try_at_s == now_s + terms.pause_s
            assert circuit.heard(False, now_s + 1) == circuit, "what was under way says nothing new"
            break


@given(TERMS, st.lists(st.booleans(), min_size=1, max_size=12))
def test_it_is_tried_after_longer_and_longer_pauses_until_one_call_succeeds(
    terms: Terms, tries: list[bool]
) -> None:
    now_s = 50.0
    circuit, pause_s = Circuit(terms).opened(now_s), terms.pause_s
    for failed in tries:
        assert circuit.is_open and circuit.try_at_s == now_s + pause_s
        now_s = circuit.try_at_s
        circuit = circuit.tried(failed, now_s)
        if not failed:
            assert circuit == Circuit(terms), "closed, and with nothing counted"
            return
        longer = min(pause_s * 2, max(PAUSE_S_MAX, terms.pause_s))
        assert pause_s <= longer <= max(PAUSE_S_MAX, terms.pause_s)
        pause_s = longer


def test_only_what_the_service_failed_to_answer_counts_against_it() -> None:
    assert failing(CallUnknown("no answer")) is True
    assert failing(CallUnknown("answered 500", status=500)) is True
    assert failing(CallNotDone("not connected")) is True
    assert failing(CallDeclined("no", status=422)) is False
    assert failing(CallDrifted("odd", status=200)) is False
    assert failing(CallNotDone("too many", status=429)) is None
    assert failing(CallBroken("our own code")) is None
