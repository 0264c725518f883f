"""A PostgreSQL server of the bench's own, for peers that need one: found on this machine, never fetched.

Only the standard library is imported here, for peers run in an environment of their own.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import WorkNotDone

PROGRAMS = ("initdb", "pg_ctl", "postgres")
DEBIAN = Path("/usr/lib/postgresql")
USERS = ("postgres", "nobody")
"""The server refuses to run as root: then it runs as the first of these that there is."""

# It ends with its input, so that it never outlives the bench, however that ends.
_SERVE = (
    'pg_ctl="$1"; shift; "$pg_ctl" -w "$@" start >&2 && echo ready; read _; "$pg_ctl" -m fast "$@" stop >&2'
)
_INIT_TIMEOUT_S = 60


def programs() -> Path | None:
    """The folder that has the server's programs: on PATH, or the newest of Debian's; None where none has."""
    found = shutil.which("initdb")
    by_version = sorted(DEBIAN.glob("[0-9]*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    for folder in [*([Path(found).resolve().parent] if found else []), *by_version]:
        if all((folder / name).exists() for name in PROGRAMS):
            return folder
    return None


def why_not() -> str:
    """Why there is no server to be had here; empty where there is one."""
    if programs() is None:
        return f"there is no PostgreSQL server here ({', '.join(PROGRAMS)}: on PATH, or in {DEBIAN})"
    if os.geteuid() == 0 and _user() is None:
        return f"PostgreSQL refuses to run as root, and there is no user {' or '.join(USERS)}"
    return ""


def version() -> str:
    """As the server says it: `15.18`. Raises `WorkNotDone` where there is none."""
    said = subprocess.run([_programs() / "postgres", "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[2]


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """A server with its data in `directory` and no settings but its defaults: the folder of its Unix socket.

    Its superuser is `bench`, its database `postgres`. Nothing listens on the network. Raises `WorkNotDone`
    where it does not start.
    """
    user = _user()
    data, log = directory / "data", directory / "log"
    # A socket's path has some hundred characters at most, wherever the bench is.
    with tempfile.TemporaryDirectory(prefix="pg-") as sockets:
        directory.mkdir()
        if user is not None:
            for place in (directory, Path(sockets)):
                os.chown(place, user, -1)
            directory.parent.chmod(0o711)  # the server's user must be let through to its own folder
        subprocess.run(
            [
                _programs() / "initdb",
                "-D",
                str(data),
                "-U",
                "bench",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
            ],
            user=user,
            cwd="/",
            check=True,
            capture_output=True,
            timeout=_INIT_TIMEOUT_S,
        )
        options = f"-c listen_addresses='' -c unix_socket_directories='{sockets}'"
        command: list[str | Path] = [
            "sh",
            "-c",
            _SERVE,
            "sh",
            _programs() / "pg_ctl",
            "-D",
            data,
            "-l",
            log,
            "-o",
            options,
        ]
        server = subprocess.Popen(
            command, user=user, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert server.stdin is not None and server.stdout is not None
        try:
            if server.stdout.readline() != "ready\n":
                said = log.read_text() if log.exists() else "it has written no log"
                raise WorkNotDone(f"PostgreSQL did not start: {said}")
            yield sockets
        finally:
            server.stdin.close()
            server.wait()
            server.stdout.close()


def _programs() -> Path:
    folder = programs()
    if folder is None:
        raise WorkNotDone(why_not())
    return folder


def _user() -> int | None:
    """Whom the server must run as; None where it may run as ourselves, or there is nobody."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return next((known[name] for name in USERS if name in known), None)
