"""The model's server for tests: what it is told to say, whoever asks first."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from deputize.testing.thinker import Thinker


def ask(thinker: Thinker, *texts: str) -> str:
    """What it says to a conversation of these messages."""
    messages = [{"role": "user", "content": text} for text in texts]
    body = {"model": "m", "messages": messages}
    answer = httpx2.post(f"{thinker.base}/chat/completions", json=body, trust_env=False).json()
    return str(answer["choices"][0]["message"]["content"])


def test_each_conversation_gets_its_own_answers_in_order_whoever_asks_first(tmp_path: Path) -> None:
    with Thinker.start(tmp_path) as thinker:
        thinker.say_in({'order "1"': [{"text": "a"}, {"text": "b"}], 'order "11"': [{"text": "c"}]})
        assert ask(thinker, 'about order "11"') == "c"
        assert ask(thinker, 'about order "1"') == "a"
        assert ask(thinker, 'about order "1"', "and then?") == "b"


def test_the_same_question_of_a_conversation_gets_the_same_answer_again(tmp_path: Path) -> None:
    with Thinker.start(tmp_path) as thinker:
        thinker.say_in({"order 1": [{"text": "a"}, {"text": "b"}]})
        assert [ask(thinker, "order 1"), ask(thinker, "order 1")] == ["a", "a"]
        assert ask(thinker, "order 1", "more") == "b"
        assert [ask(thinker, "order 1", "more"), ask(thinker, "order 1")] == ["b", "a"]


@pytest.mark.parametrize("text", ["order 1", "something else"])
def test_what_was_not_said_gets_the_usual_answer(tmp_path: Path, text: str) -> None:
    with Thinker.start(tmp_path) as thinker:
        thinker.say_in({"order 1": [{"text": "a"}]})
        thinker.usually(text="well")
        assert thinker.left() == [{"text": "a"}]
        assert ask(thinker, "order 1") == "a"
        assert thinker.left() == []
        assert ask(thinker, text, "more") == "well"


def test_other_answers_are_left_for_other_conversations(tmp_path: Path) -> None:
    with Thinker.start(tmp_path) as thinker:
        thinker.say({"text": "first"}, {"text": "second"})
        thinker.say_in({"order 1": [{"text": "a"}]})
        assert [ask(thinker, text) for text in ("hello", "order 1", "again")] == ["first", "a", "second"]
