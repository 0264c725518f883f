"""No path that a connector gives ever leaves the base address."""

from __future__ import annotations

from urllib.parse import unquote

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deputize.connectors.path import target_below

BASES = st.sampled_from(["", "/", "/v1", "/v1/shops/7"])
SIGNS = [".", "..", "/", "//", "\\", "@", "%", "?", "#", ";", ":", "://", " ", "\r\n", "\x00", "\t"]
ESCAPES = ["%2e", "%2E%2e", "%252e", "%2f", "%5c", "%0d%0a", "%3b"]
WORDS = ["http:", "evil.example", ":80", "．．", "／", "é", "\ud800", "a", "orders"]
PIECES = st.sampled_from([*SIGNS, *ESCAPES, *WORDS])
PATHS = st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=8).map("".join))


@given(BASES, PATHS, st.none() | st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=3))
@example("/v1", "/%2e%2e/admin", None)
@example("/v1", "/%252e%252e/admin", None)
@example("/v1", "/..;/admin", None)
@example("/v1", "/a\\..\\..\\admin", None)
@example("/v1", "@evil.example/", None)
@example("/v1", "//evil.example/x", None)
def test_every_path_that_is_accepted_stays_below_the_base(
    base: str, path: str, params: dict[str, str] | None
) -> None:
    try:
        target = target_below(base, path, params)
    except ValueError:
        return
    prefix = base.rstrip("/") + "/"
    url = httpx2.URL(f"https://api.example.com:8443{base}").copy_with(raw_path=target)
    assert (url.scheme, url.host, url.port, url.userinfo) == ("https", "api.example.com", 8443, b"")
    assert url.raw_path == target, "the client must send the very bytes that were checked"
    sent, _, query = target.decode("ascii").partition("?")
    assert sent.startswith(prefix) and bool(query) == bool(params)
    assert not set(target) & {*range(0x21), 0x7F, *b"\\#@"}
    for seen in (sent, unquote(sent), unquote(unquote(sent))):
        depth = 0
        for segment in seen[len(prefix) - 1 :].replace("\\", "/").split("/"):
            depth += -1 if segment.split(";")[0] == ".." else 1
            assert depth >= 0 and segment.split(";")[0] != ".."


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/orders/o1", b"/v1/orders/o1"),
        ("orders/o1", b"/v1/orders/o1"),
        ("/", b"/v1/"),
        ("/orders/a b/é", b"/v1/orders/a%20b/%C3%A9"),
        ("/mail/maya%40example.com", b"/v1/mail/maya%40example.com"),
        ("/charges/ch_1:refund", b"/v1/charges/ch_1:refund"),
        ("/files/a%2Fb", b"/v1/files/a%2Fb"),
    ],
)
def test_ordinary_paths_are_joined_below_the_base(path: str, target: bytes) -> None:
    assert target_below("/v1", path, None) == target


def test_a_parameter_cannot_add_another() -> None:
    assert (
        target_below("/", "/search", {"q": "a&admin=1#x/?\r\n"}) == b"/search?q=a%26admin%3D1%23x%2F%3F%0D%0A"
    )


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/a?b=1", "params="),
        ("/a#b", "%23"),
        ("/a@b", "%40"),
        ("/100%", "%25"),
        ("mailto:x", "scheme"),
        ("https://x", "empty segment"),
        ("/orders//items", "empty segment"),
        ("/a/%0d%0aX: 1", "control"),
        ("/" + "a" * 9_000, "8,000"),
    ],
)
def test_a_refused_path_says_why(path: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        target_below("/v1", path, None)
