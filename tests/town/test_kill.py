"""The town is killed; what it said is still so."""

import threading

import httpx2

from deputize.town import Town
from tests.town.calling import Caller


def test_state_book_and_ports_survive_a_kill(own_town: Town, own_call: Caller) -> None:
    own_town.plant("s1", 5000)
    own_call.refund("ch-s1", 1000, key="s1")
    urls, book, log = own_town.urls, own_town.book(), own_town.access_log()
    own_town.kill()
    own_town.again()
    assert own_town.urls == urls
    assert (own_town.book(), own_town.access_log()) == (book, log)
    assert own_call.refund("ch-s1", 1000, key="s1").headers["Idempotent-Replayed"] == "true"
    assert own_call.refunded("ch-s1") == 1000


def test_killed_under_load_every_answered_effect_is_kept_and_none_is_booked_twice(
    own_town: Town, own_call: Caller
) -> None:
    """Three rounds of writers whose town dies under them; their unanswered keys are sent once more."""
    own_town.plant("s2", 10_000_000)
    answered: dict[str, str] = {}
    unanswered: list[str] = []

    def write(round_no: int, writer: int, enough: threading.Event) -> None:
        caller = Caller(own_town)
        for n in range(2_000):
            key = f"s2-{round_no}-{writer}-{n}"
            try:
                answered[key] = caller.refund("ch-s2", 1, key=key).json()["id"]
            except httpx2.TransportError:
                unanswered.append(key)
                break
            if n == 30:
                enough.set()
        caller.client.close()

    for round_no in range(3):
        enough = threading.Event()
        writers = [threading.Thread(target=write, args=(round_no, n, enough)) for n in range(3)]
        for writer in writers:
            writer.start()
        assert enough.wait(10)
        own_town.kill()
        for writer in writers:
            writer.join()
        own_town.again()
    assert unanswered
    for key in unanswered:
        answered[key] = own_call.refund("ch-s2", 1, key=key).json()["id"]
    booked = [row["key"] for row in own_town.book()]
    assert sorted(booked) == sorted(answered)
    figures = own_town.summary()
    assert figures["duplicates"] == 0
    assert figures["refunded_minor"] == figures["refunded_in_state_minor"] == {"EUR": len(answered)}
    assert own_call.refunded("ch-s2") == len(answered)
