"""Values of secrets are taken out of text in every form in which they may come back."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.connectors.secret import Secrets
from deputize.errors import ProjectError
from deputize.token import OPERATOR_PREFIX, PERSON_PREFIX, written

TOKEN = 'p@ss "w\\rd/+é&x'


def holding(**environ: str) -> Secrets:
    secrets = Secrets(Path(), environ)
    for name in environ:
        secrets.resolve(f"env:{name}")
    return secrets


@pytest.mark.parametrize(
    "form",
    [
        TOKEN,
        quote(TOKEN),
        quote(TOKEN, safe=""),
        quote_plus(TOKEN),
        quote(TOKEN, safe="").lower(),
        quote(quote(TOKEN, safe=""), safe=""),
        quote(TOKEN, safe="@/+&"),
        json.dumps(TOKEN)[1:-1],
        json.dumps(TOKEN, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(TOKEN)[1:-1])[1:-1],
        json.dumps(TOKEN)[1:-1].replace("/", "\\/"),
        orjson.dumps(TOKEN).decode()[1:-1],
        html.escape(TOKEN),
        repr(TOKEN)[1:-1],
    ],
)
def test_every_written_form_is_replaced_by_the_name(form: str) -> None:
    secrets = holding(TOKEN=TOKEN)
    assert secrets.scrub(f"see {form}, and {form}.") == "see [secret TOKEN], and [secret TOKEN]."
    assert secrets.scrub(f"see {form}".encode()) == b"see [secret TOKEN]"


def test_bytes_in_latin_1_are_scrubbed_too() -> None:
    assert holding(TOKEN=TOKEN).scrub(TOKEN.encode("latin-1")) == b"[secret TOKEN]"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("after", ["", "x", "xy", "xyz"])
def test_base64_of_a_text_that_holds_it_is_scrubbed_at_every_alignment(
    encode: object, before: str, after: str
) -> None:
    value = "canary?>~token"
    encoded = encode(f"{before}{value}{after}".encode()).decode()  # type: ignore[operator]
    clean = holding(TOKEN=value).scrub(encoded)
    assert "[secret TOKEN]" in clean
    rest = clean.replace("[secret TOKEN]", "")
    # What is left belongs to the text around it, and at most one partial digit on each side.
    assert len(rest.rstrip("=")) <= (len(before) * 8 + 5) // 6 + (len(after) * 8 + 5) // 6 + 1


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=6, max_size=30),
    st.binary(max_size=7),
    st.binary(max_size=7),
)
def test_no_base64_and_no_url_keeps_a_secret(value: str, before: bytes, after: bytes) -> None:
    try:
        secrets = holding(TOKEN=value)
    except ProjectError:
        return  # a number
    whole = before + value.encode() + after
    for encoded in (base64.b64encode(whole), base64.urlsafe_b64encode(whole)):
        assert b"[secret TOKEN]" in secrets.scrub(encoded)
    assert "[secret TOKEN]" in secrets.scrub("https://x/?q=" + quote_plus(value))
    assert "[secret TOKEN]" in secrets.scrub(html.escape(value))


def test_basic_credentials_are_replaced_whole() -> None:
    secrets = Secrets(Path(), {"PASSWORD": "canary-pass"})
    header = secrets.basic("maya", secrets.resolve("env:PASSWORD"))
    assert secrets.scrub(f"Basic {header}".rstrip("=")) == "Basic [secret PASSWORD]"


def test_a_secret_within_another_hides_neither_name_nor_rest() -> None:
    secrets = holding(SHORT="canary", LONG="canary-and-more")
    assert secrets.scrub("canary-and-more canary") == "[secret LONG] [secret SHORT]"


def test_text_without_secrets_comes_back_as_the_same_object() -> None:
    for secrets in (Secrets(Path(), {}), holding(TOKEN=TOKEN)):
        for text in ("nothing to see \ud800", b"\xff\x00 nothing"):
            assert secrets.scrub(text) is text


def test_text_that_is_no_unicode_survives_scrubbing() -> None:
    secrets = holding(TOKEN="canary")
    assert secrets.scrub("\ud800canary") == "\ud800[secret TOKEN]"
    assert secrets.scrub(b"\xffcanary\xfe") == b"\xff[secret TOKEN]\xfe"


@given(
    st.sampled_from(["nabcdef", "e9abcdef", 'abcde"', "abcdef\\\\", "\\u00e9abc"])
    | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=6, max_size=30),
    st.text(max_size=10),
    st.text(max_size=10),
)
def test_no_json_that_holds_a_secret_keeps_it_and_all_of_it_stays_json(
    value: str, before: str, after: str
) -> None:
    try:
        secrets = holding(TOKEN=value)
    except ProjectError:
        return  # a number
    for encoded in (orjson.dumps([before + value + after]), json.dumps([before + value + after]).encode()):
        assert value in orjson.loads(encoded)[0]
        (decoded,) = orjson.loads(secrets.scrub(encoded))
        assert value not in decoded


@pytest.mark.parametrize("text", ["\nabcdef", "éabcdef", "\\nabcdef", '\\"abcdef"'])
def test_a_match_that_starts_half_way_in_an_escape_leaves_json_that_can_be_read(text: str) -> None:
    secrets = holding(ONE="nabcdef", TWO="e9abcdef", THREE='"abcdef')
    for encoded in (orjson.dumps({text: [text]}), json.dumps({text: [text]}).encode()):
        orjson.loads(secrets.scrub(encoded))


def test_bytes_that_are_no_json_or_too_deep_are_scrubbed_as_they_are() -> None:
    secrets = holding(TOKEN="canary")
    assert secrets.scrub(b"{canary") == b"{[secret TOKEN]"
    deep = b"[" * 1_000 + b'"canary"' + b"]" * 1_000
    assert b"canary" not in secrets.scrub(deep)


@pytest.mark.parametrize("prefix", [PERSON_PREFIX, OPERATOR_PREFIX])
@pytest.mark.parametrize("secrets", [holding(), holding(TOKEN=TOKEN)], ids=["alone", "beside a secret"])
def test_whatever_is_written_as_a_token_is_taken_out_though_nobody_knows_it(
    prefix: str, secrets: Secrets
) -> None:
    for random in (bytes(32), bytes([255] * 32), bytes(range(200, 232))):
        token = written(prefix, random)
        assert secrets.scrub(f"see {token}.") == "see [secret token]."
        assert secrets.scrub(json.dumps({token: [f"Bearer {token}"]}).encode()) == (
            b'{"[secret token]":["Bearer [secret token]"]}'
        )
        assert secrets.scrub(quote(f"?t={token}", safe="")) == quote("?t=", safe="") + "[secret token]"
        assert token[:-1] in secrets.scrub(f"see {token[:-1]}.")
    assert secrets.scrub(text := "dpt_ and dpo_x") is text
