"""The command line. `main` starts what was asked for and turns every failure into a line that helps.

Exit codes: 0 done, 1 a no (a problem found, something refused), 2 wrong usage, 3 not reachable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from deputize.cli.here import Here, Said, hoist

INTERRUPTED = 130

_ELSEWHERE = ("town", "demo")
"""These read their own words, all of them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    here = Here()
    try:
        if not words or words[0] not in _ELSEWHERE:
            here, words = hoist(words)
        code = _run(here, words)
        sys.stdout.flush()
        return code
    except Said as said:
        return _tell(here, str(said), said.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as end:
        # The reader of a pipe has gone (`deputize runs | head`), perhaps told by a library as an exit.
        if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last place where a failure can still be told in a line
        return _unexpected(here, error)


def _run(here: Here, words: list[str]) -> int:
    """Everything is imported where it is needed: a server starts in a second, and keeps little in memory."""
    name = words[0] if words else ""
    if name == "town":
        from deputize.town import main as town

        return town([*words[1:], *(["--json"] if here.json else [])])
    if name == "demo":
        from deputize.demo import main as demo

        return demo(words[1:])
    if name == "up" and not {"--help", "-h"} & set(words):
        from deputize.cli.up import up

        return up(here, words[1:])
    from deputize.cli.app import run

    return run(here, words)


def _unexpected(here: Here, error: Exception) -> int:
    from deputize.errors import DeputizeError

    if here.debug:
        raise error
    if isinstance(error, DeputizeError):
        return _tell(here, str(error), 1)
    if isinstance(error, OSError) and error.strerror:
        return _tell(here, f"{error.filename or 'the machine'}: {error.strerror}", 1)
    said = f"{type(error).__name__}: {error} (a defect of ours: the same with --debug shows where)"
    return _tell(here, said, 1)


def _tell(here: Here, message: str, exit_code: int) -> int:
    sys.stderr.write(f"deputize: {message}\n")
    if here.json:
        import orjson

        sys.stdout.write(orjson.dumps({"error": message}).decode() + "\n")
    return exit_code
