"""The demo's folder: what was begun in it, a copy of the example project, and a lock."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from deputize.demo.mails import LOCAL, STAND_IN
from deputize.models.local import is_installed

DAYS, SEED = 3, 7
STANDING_IN = re.compile(r"(\[models\.reader\]\n)(?:.+\n)+")
HERE = r"""\1model = "local:smollm2"
output_tokens_max = 600
concurrent_max = 1
"""
WRITTEN, READY = 'plans = "written"', 'plans = "ready"'
PATIENCE, IN_A_HURRY = 'within = "2 days"', 'within = "15 seconds"'
LEFT_OUT = shutil.ignore_patterns("data", "tests", "__pycache__", ".env", ".*_cache")


class DemoError(Exception):
    """The demo cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Begun:
    """What a demo was begun with; it stays so until `--fresh`."""

    days: int
    seed: int
    reader: str = STAND_IN


@dataclass(frozen=True)
class Home:
    """The places in the demo's folder."""

    root: Path

    @property
    def town(self) -> Path:
        """The town's state."""
        return self.root / "town"

    @property
    def project(self) -> Path:
        """The user's project: the shop's automations, connections and rules."""
        return self.root / "project"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.root / "server.log"

    @property
    def begun(self) -> Path:
        """What the demo was begun with."""
        return self.root / "demo.json"

    def write_addresses(self, urls: Mapping[str, str]) -> None:
        """Tell the project where the town's services are, in its .env."""
        names = ("shop", "payments", "mail", "model")
        lines = [f"TOWN_{name.upper()}_URL={urls[name]}\n" for name in names]
        draft = self.project / ".env.new"
        draft.write_text("".join(lines), "utf-8")
        draft.chmod(0o600)
        draft.replace(self.project / ".env")


@contextmanager
def open_home(root: Path, *, fresh: bool) -> Iterator[Home]:
    """Take the folder for one demo at a time. Raises `DemoError` where it is taken or is not a demo's."""
    home = Home(root)
    if root.exists() and not (root / "lock").exists() and any(root.iterdir()):
        raise DemoError(f"{root} is in use for something else; choose another folder with --dir")
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(f"a demo is running in {root}; stop it, or choose another with --dir") from None
        if fresh:
            _clear(root)
        yield home


def begin(
    home: Home, days: int | None, seed: int | None, reader: str | None, *, hurried: bool = True
) -> Begun:
    """Begin here, or go on with what was begun; `hurried`, what waits for people waits for seconds only.

    Raises `DemoError` for other wishes than those of then.
    """
    begun = _begun(home, days, seed, reader)
    if not home.project.is_dir():
        draft = home.root / "project.new"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(example(), draft, ignore=LEFT_OUT)
        for rules in ("refunds.toml", "mails.toml") if hurried else ():
            _hurry(draft / "rules" / rules)
        if begun.reader == LOCAL:
            _read_here(draft / "deputize.toml")
        draft.rename(home.project)
    return begun


def _begun(home: Home, days: int | None, seed: int | None, reader: str | None) -> Begun:
    if not home.begun.is_file():
        chosen = reader or (LOCAL if is_installed() else STAND_IN)
        if chosen == LOCAL and not is_installed():
            raise DemoError("the small model is not installed here; leave --model out, or say stand-in")
        begun = Begun(days or DAYS, SEED if seed is None else seed, chosen)
        draft = home.root / "demo.json.new"
        draft.write_text(json.dumps(asdict(begun)), "utf-8")
        draft.replace(home.begun)
        return begun
    begun = Begun(**json.loads(home.begun.read_text("utf-8")))
    wished = Begun(days or begun.days, begun.seed if seed is None else seed, reader or begun.reader)
    if wished != begun:
        raise DemoError(
            f"the demo in {home.root} was begun with --days {begun.days} --seed {begun.seed} "
            f"--model {begun.reader}; leave these out to go on with it, or add --fresh to start over"
        )
    return begun


def _hurry(rules: Path) -> None:
    """Days pass in seconds here, so that what waits for a person does not wait for days."""
    text = rules.read_text("utf-8")
    if PATIENCE not in text:
        raise DemoError(
            f"{rules.name} of the example does not say {PATIENCE!r} any more; install Deputize again"
        )
    rules.write_text(text.replace(PATIENCE, IN_A_HURRY), "utf-8")


def _read_here(settings: Path) -> None:
    """Let the mails be read by the model that runs on this machine, which can sort and cannot plan."""
    text, changed = STANDING_IN.subn(HERE, settings.read_text("utf-8"))
    if changed != 1 or WRITTEN not in text:
        raise DemoError(
            f"{settings.name} of the example has no [models.reader] or no {WRITTEN} any more; "
            "install Deputize again"
        )
    settings.write_text(text.replace(WRITTEN, READY), "utf-8")


def example() -> Path:
    """The example project: in an installed package, or in a checkout. Raises `DemoError`."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "templates" / "returns", package.parents[1] / "examples" / "returns"):
        if (place / "deputize.toml").is_file():
            return place
    raise DemoError("the example project is not here; install Deputize again, or run it from a checkout")


def _clear(root: Path) -> None:
    for path in root.iterdir():
        if path.name == "lock":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
