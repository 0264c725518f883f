"""Files of the project that people change in a form: replaced whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deputize.api.problem import Problem


@dataclass(frozen=True)
class Text:
    """A file as it was read: to be replaced as long as it is still just that."""

    path: Path
    data: bytes

    @classmethod
    def read(cls, path: Path) -> Text:
        """Raises `Problem` 409 for a file that cannot be read."""
        try:
            return cls(path, path.read_bytes())
        except OSError as error:
            raise Problem(409, f"{path.name} cannot be read: {error.strerror}") from None

    @property
    def text(self) -> str:
        """What it says. Raises `Problem` 409 for what is no text."""
        try:
            return self.data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError:
            raise Problem(409, f"{self.path.name} is not UTF-8 text") from None

    def replaced(self, text: str) -> Text:
        """Put another text there; lines end as they did. Returns what is there now.

        Raises `Problem` 409 where somebody else changed the file meanwhile, or it cannot be written."""
        mark = self.data[:3] if self.data.startswith(b"\xef\xbb\xbf") else b""
        data = mark + (text.replace("\n", "\r\n") if b"\r\n" in self.data else text).encode()
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.chmod(self.path.stat().st_mode & 0o7777)
            if self.path.read_bytes() != self.data:
                raise Problem(
                    409, f"{self.path.name} was changed on disk in the meantime; nothing was written"
                )
            draft.replace(self.path)
            _sync(self.path.parent)
        except OSError as error:
            raise Problem(409, f"{self.path.name} cannot be written: {error.strerror}") from None
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        return Text(self.path, data)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
