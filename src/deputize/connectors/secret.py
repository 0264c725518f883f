"""Secrets as handles: settings name them, requests carry them, and nothing else ever shows them."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, overload

from deputize import canonical
from deputize.errors import ProjectError
from deputize.token import PREFIXES, SHAPE

VALUE_CHARS_MIN = 6  # a shorter value would be found in innocent text
FILE_BYTES_MAX = 64_000
_HANDLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,199}|file:[\w./-]{1,400}")
_NUMBER = re.compile(r"[0-9.eE+-]+")
_TOKEN_FORM = b"(" + SHAPE.pattern + b")"
_TOKEN_SHOWN = b"[secret token]"


def check_handle(handle: str) -> str:
    """`handle` itself. Raises `ValueError`, without repeating what may be a secret, for any other text."""
    if not _HANDLE.fullmatch(handle):
        raise ValueError('name the secret as "env:NAME" or "file:path"; never write the secret itself')
    return handle


class Secret:
    """One secret: its handle for people, its value for requests."""

    __slots__ = ("_value", "handle")

    def __init__(self, handle: str, value: str) -> None:
        self.handle = handle
        self._value = value

    def reveal(self) -> str:
        """The value, for a request that is about to be sent."""
        return self._value

    def __repr__(self) -> str:
        return f"[secret {self.handle.partition(':')[2]}]"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled: pass its handle")


class Secrets:
    """Every secret of a project: resolves handles, and takes the values out of what is kept or shown.

    `root` is the folder that `file:` handles start from, `environ` what `env:` handles name. Tokens are
    taken out by their shape: this process does not know them either.
    """

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self._root = root
        self._environ = environ
        self._secrets: dict[str, Secret] = {}
        self._forms: dict[Secret, list[bytes]] = {}
        self._shown: list[bytes] = [_TOKEN_SHOWN]
        self._pattern = re.compile(_TOKEN_FORM)
        self._needles = [prefix.encode() for prefix in PREFIXES]

    def resolve(self, handle: str) -> Secret:
        """The secret that `handle` names. Raises `ProjectError`, which says what to do."""
        known = self._secrets.get(handle)
        if known is not None:
            return known
        try:
            kind, _, name = check_handle(handle).partition(":")
        except ValueError as error:
            raise ProjectError(str(error)) from None
        value = self._from_environment(name) if kind == "env" else self._from_file(name)
        _check_value(handle, value)
        secret = self._secrets[handle] = Secret(handle, value)
        encoded = _inside_base64(value.encode())
        plain = sorted({*self._needles, *map(_plainest, [value.encode(), *encoded])}, key=len)
        # A text that holds a needle holds every shorter one within it: that one is enough.
        self._needles = [n for i, n in enumerate(plain) if not any(short in n for short in plain[:i])]
        self._hide(secret, [_any_escape(value), *map(re.escape, encoded)])
        return secret

    def basic(self, user: str, password: Secret) -> str:
        """The `user:password` part of HTTP Basic credentials (RFC 7617), hidden like the password."""
        encoded = base64.b64encode(f"{user}:{password.reveal()}".encode())
        self._hide(password, [re.escape(encoded.rstrip(b"="))])
        return encoded.decode()

    @overload
    def scrub(self, text: str) -> str: ...

    @overload
    def scrub(self, text: bytes) -> bytes: ...

    def scrub(self, text: str | bytes) -> str | bytes:
        """`text` with `[secret NAME]` for each value, also where it is URL-quoted, base64 or escaped.

        Returns the same object where nothing was found. Bytes that are JSON stay JSON, canonical.
        """
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        if not self._holds(data):
            return text
        if isinstance(text, str):
            return self._replaced(data).decode("utf-8", "surrogatepass")
        try:
            return canonical.encode(self._walked(canonical.decode(text)))
        except (ValueError, TypeError, RecursionError):
            return self._replaced(text)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._secrets)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets cannot be pickled: build them again from the settings")

    def _holds(self, data: bytes) -> bool:
        # This runs for every entry: looking for plain parts first takes a tenth of the pattern's time.
        for needle in self._needles:
            if needle in data:
                return self._pattern.search(data) is not None
        return False

    def _walked(self, value: Any) -> Any:
        """`value` with its strings scrubbed one by one: a match in JSON's own text could start half-way
        in an escape, and what is left would be no JSON."""
        if isinstance(value, str):
            return self._replaced(value.encode()).decode()
        if isinstance(value, list):
            return [self._walked(item) for item in value]
        if isinstance(value, dict):
            return {self._walked(key): self._walked(item) for key, item in value.items()}
        return value

    def _replaced(self, data: bytes) -> bytes:
        return self._pattern.sub(lambda match: self._shown[(match.lastindex or 1) - 1], data)

    def _hide(self, secret: Secret, forms: list[bytes]) -> None:
        self._forms[secret] = [*forms, *self._forms.get(secret, [])]
        # Longest first: a value that starts with another must be replaced whole. One group a secret.
        ordered = sorted(self._forms, key=lambda known: len(known.reveal()), reverse=True)
        self._shown = [*(repr(known).encode() for known in ordered), _TOKEN_SHOWN]
        groups = [b"(" + b"|".join(self._forms[known]) + b")" for known in ordered]
        self._pattern = re.compile(b"|".join([*groups, _TOKEN_FORM]))

    def _from_environment(self, name: str) -> str:
        value = self._environ.get(name)
        if not value:
            raise ProjectError(f"the secret env:{name} is not set: add {name}=… to .env or the environment")
        return value

    def _from_file(self, name: str) -> str:
        path = self._root / name
        try:
            # Checked on the open file, so that it cannot be exchanged between check and use; a pipe
            # in its place must not block.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                about = os.fstat(descriptor)
                data = os.read(descriptor, FILE_BYTES_MAX + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ProjectError(f"the secret file:{name} cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(about.st_mode):
            raise ProjectError(f"the secret file:{name} is not a file")
        if about.st_uid != os.getuid():
            raise ProjectError(f"the secret file:{name} belongs to another user: chown it to yours")
        if about.st_mode & 0o177:
            raise ProjectError(f"the secret file:{name} is open to others: chmod 600 {path}")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise ProjectError(f"the secret file:{name} is not UTF-8 text") from None
        if len(data) > FILE_BYTES_MAX:
            raise ProjectError(f"the secret file:{name} is over {FILE_BYTES_MAX:,} bytes")
        return text.strip()


def _check_value(handle: str, value: str) -> None:
    if len(value) < VALUE_CHARS_MIN:
        raise ProjectError(
            f"the secret {handle} has fewer than {VALUE_CHARS_MIN} characters; use a longer one"
        )
    if _NUMBER.fullmatch(value):
        # Scrubbing it would hide amounts and break the JSON they stand in.
        raise ProjectError(
            f"the secret {handle} is a number, which cannot be told from data; use a longer one"
        )
    if not value.isprintable():
        raise ProjectError(f"the secret {handle} holds line breaks or control characters")


def _any_escape(value: str) -> bytes:
    """A pattern for `value` as it is, URL-quoted, JSON-escaped (twice, too) or in HTML.

    Encoders differ in what they escape, so each character that one of them may escape matches in
    every form of its own.
    """
    return b"".join(
        re.escape(char.encode()) if char.isascii() and char.isalnum() else _escapes(char) for char in value
    )


def _escapes(char: str) -> bytes:
    escaped = {json.dumps(char)[1:-1], json.dumps(char, ensure_ascii=False)[1:-1], f"\\{char}"}
    escaped |= {json.dumps(text)[1:-1] for text in escaped}
    escaped |= {f"\\u{ord(char):04x}"} if ord(char) < 0x10000 else set()
    texts = {char, html.escape(char), *escaped, *({"+"} if char == " " else ())}
    forms = {text.encode() for text in texts} | {char.encode("latin-1", "ignore")} - {b""}
    percent = b"".join(b"%%(?:25)?%02x" % byte for byte in char.encode())
    patterns = sorted(map(re.escape, forms), key=len, reverse=True)
    return b"(?i:" + b"|".join([percent, *patterns]) + b")"


def _inside_base64(value: bytes) -> list[bytes]:
    """The base64 of any text that holds `value`, longest first: the digits that follow from it alone.

    Base64 takes 8 bits at a time into digits of 6, so the digits depend on where the value starts.
    """
    forms: set[bytes] = set()
    for shift in range(3):
        bits = (shift + len(value)) * 8
        digits = base64.b64encode(bytes(shift) + value)
        for form in (digits, digits.replace(b"+", b"-").replace(b"/", b"_")):
            start, inside, last = -(-shift * 8 // 6), bits // 6, -(-bits // 6)
            forms |= {form[start:inside], form[start:last]}
    return sorted(forms, key=len, reverse=True)


def _plainest(form: bytes) -> bytes:
    """The longest part of `form` that no encoder changes: it is in every text that holds `form`."""
    return max(re.findall(rb"[A-Za-z0-9]+", form), key=len, default=b"")
