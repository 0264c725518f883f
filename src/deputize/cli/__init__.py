"""The command line. `main` starts what was asked for and turns every failure into a line that helps.

Exit codes: 0 done, 1 a no (a problem found, something refused), 2 wrong usage, 3 not reachable.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from deputize.cli.here import Here, Said, hoist


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in _WITHOUT_US:
        return _WITHOUT_US[words[0]](words[1:])
    here = Here()
    try:
        here, words = hoist(words)
        if words and words[0] == "up" and not {"--help", "-h"} & set(words):
            # Past the command line's libraries: a server starts in a second, and keeps little in memory.
            from deputize.cli.up import up

            return up(here, words[1:])
        from deputize.cli.app import run

        return run(here, words)
    except Said as said:
        return _tell(here, str(said), said.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone (`deputize runs | head`); nothing is wrong.
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001 - the last place where a failure can still be told in a line
        return _unexpected(here, error)


def _unexpected(here: Here, error: Exception) -> int:
    from deputize.errors import DeputizeError

    if here.debug:
        raise error
    if isinstance(error, DeputizeError):
        return _tell(here, str(error), 1)
    said = f"{type(error).__name__}: {error} (a defect of ours: the same with --debug shows where)"
    return _tell(here, said, 1)


def _tell(here: Here, message: str, exit_code: int) -> int:
    sys.stderr.write(f"deputize: {message}\n")
    if here.json:
        import orjson

        sys.stdout.write(orjson.dumps({"error": message}).decode() + "\n")
    return exit_code


def _town(words: list[str]) -> int:
    from deputize.town import main as town

    return town(words)


def _demo(words: list[str]) -> int:
    from deputize.demo import main as demo

    return demo(words)


_WITHOUT_US = {"town": _town, "demo": _demo}
