"""A project moves with its ledger and its keys, and whatever dies on the way, exactly one copy can start."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deputize.config import read_settings
from deputize.errors import LedgerMoved, MoveError
from deputize.moving import arriving, leaving
from deputize.moving.archive import is_sealed, seal
from deputize.moving.arriving import arrive
from deputize.moving.leaving import leave, settle_move
from deputize.store.sqlite.offline import OfflineLedger
from deputize.system import System
from tests.support.command import EXECUTABLE, deputize, edit, login, new_project, served

SECRET = "open-sesame-and-more-44"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has run: with a doubt, a key, a secret, and somebody who is logged in."""
    project = new_project(tmp_path_factory.mktemp("made"))
    (project / ".env").write_text(f"DOOR={SECRET}\n")
    with served(project):
        deputize(project, "send", "visitor.arrived", "--data", '{"name": "Ada"}', "--wait")
        deputize(project, "send", "item.asked", "--data", '{"item": "lamp"}')
        assert any(deputize(project, "inbox", "--json").json()["cards"] for _ in range(60))
        login(project)
    (project / "tool.sh").write_text("#!/bin/sh\n")
    (project / "tool.sh").chmod(0o755)
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "here" / "shop"))


def entries(project: Path) -> list[tuple[int, str, bytes]]:
    ledger = OfflineLedger(project / "data" / "ledger.db")
    with closing(ledger):
        return [(e.seq, e.type, e.hash) for _, e in ledger.read(lambda view: view.entries_after(0, 10_000))]


def starts(project: Path) -> bool:
    """Whether `deputize up` starts it; where not, that it was moved."""
    process = subprocess.Popen(
        [EXECUTABLE, "up", "--project", str(project)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    ready = process.stdout.readline().startswith("Deputize is ready")
    if ready:
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert ready or "starts no more" in errors, errors
    return ready


# -- there and back ------------------------------------------------------------------------------------------


def test_it_goes_on_elsewhere_halted_with_all_it_had(project: Path, tmp_path: Path) -> None:
    before = entries(project)
    archive = tmp_path / "shop.tar"
    moved = deputize(project, "move", str(archive))
    assert moved.code == 0, moved.err
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert "its mode is 0600" in moved.out and ".env, data/ledger.db, data/operator.key" in moved.out
    assert "by hand" not in moved.out and SECRET not in moved.out
    assert not list(tmp_path.glob("*.part")) and not list(project.glob("data/*.moving"))
    there = tmp_path / "there"
    arrived = deputize(tmp_path / "here", "move", str(archive), "--into", str(there))
    assert arrived.code == 0, arrived.err
    assert "1 write is unfinished" in arrived.out and 'desk.sell with item "lamp"' in arrived.out
    assert "its card is in the inbox" in arrived.out and SECRET not in arrived.out
    assert entries(there)[: len(before)] == before
    assert (there / ".env").read_text() == (project / ".env").read_text()
    assert (project / "data" / "login").exists() and not (there / "data" / "login").exists()
    for private in (".env", "data/operator.key", "data/ledger.db"):
        assert stat.S_IMODE((there / private).stat().st_mode) == 0o600, private
    assert os.access(there / "tool.sh", os.X_OK) and not os.access(there / "README.md", os.X_OK)
    for own in ("automations/selling.py", "deputize.toml", "data/operator.key"):
        assert (there / own).read_bytes() == (project / own).read_bytes()
    with served(there):
        login(there)
        early = deputize(there, "resume", "all")
        assert early.code == 1 and "1 write is in doubt from before" in early.err
        told = deputize(there, "inbox")
        assert "1 write is unfinished from before this ledger was restored" in told.out
        card = deputize(there, "inbox", "--json").json()["cards"][0]["id"]
        assert deputize(there, "resolve", card, "did-not").code == 0
        assert deputize(there, "resume", "all").code == 0
        sent = deputize(there, "send", "visitor.arrived", "--data", '{"name": "Bo"}', "--wait", "--json")
        assert sent.json()["ended"][0]["label"] == "done(greeted)", sent
    assert deputize(there, "ledger", "verify").code == 0 and deputize(there, "ledger", "rebuild").code == 0


def test_the_copy_that_stayed_says_where_it_went_and_starts_only_on_a_persons_word(
    project: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "shop.tar"
    assert deputize(project, "move", str(archive)).code == 0
    up = deputize(project, "up")
    assert up.code == 1 and f"was moved to {archive} on " in up.err and "deputize move --back" in up.err
    again = deputize(project, "move", str(tmp_path / "other.tar"))
    assert again.code == 1 and f"was moved to {archive}" in again.err
    doctor = deputize(project, "doctor")
    assert doctor.code == 1 and f"this ledger was moved to {archive}" in doctor.out
    assert "deputize resume" not in doctor.out
    inbox = deputize(project, "inbox")
    assert f"this copy was moved to {archive} on " in inbox.out and "deputize resume" not in inbox.out
    assert deputize(project, "runs").code == 0
    with pytest.raises(LedgerMoved):
        asyncio.run(started(project))
    assert deputize(project, "move", "--back").code == 2
    back = deputize(project, "move", "--back", "--reason", "the disk of the other one is broken")
    assert back.code == 0 and "must never start" in back.out and "1 write is unfinished" in back.out
    assert "was not moved" in deputize(project, "move", "--back", "--reason", "x").err
    with served(project):
        assert "log" in deputize(project, "halt").err
        login(project)
        stops = deputize(project, "inbox").out
        assert "halted: all (brought back: the disk of the other one is broken)" in stops
    assert deputize(project, "ledger", "verify").code == 0


def test_a_ledger_that_was_moved_is_not_brought_back_by_a_restore(project: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.db"
    assert deputize(project, "backup", str(before)).code == 0
    leave(read_settings(project), tmp_path / "shop.dep", "maya")
    done = deputize(project, "restore", str(before), "--force")
    assert done.code == 1 and "shop.dep" in done.err, done.err
    assert not starts(project)


def test_what_another_move_has_taken_meanwhile_is_not_packed_again(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings(project)
    leave(settings, tmp_path / "first.dep", "maya")
    monkeypatch.setattr(leaving, "look_ahead", lambda settings, target: ())
    with pytest.raises(LedgerMoved):
        leave(settings, tmp_path / "second.dep", "maya")
    assert not (tmp_path / "second.dep").exists()


async def started(project: Path) -> None:
    system = System.open(project)
    try:
        await system.start()
    finally:
        await system.stop()


def test_a_running_copy_is_halted_takes_nothing_more_in_and_ends(project: Path, tmp_path: Path) -> None:
    archive = tmp_path / "shop.tar"
    with served(project) as process:
        nobody = deputize(project, "logout") and deputize(project, "move", str(archive))
        assert nobody.code == 1 and "only a person may do this" in nobody.err and not archive.exists()
        login(project)
        moved = deputize(project, "move", str(archive), "--json", "--reason", "a new machine")
        assert moved.code == 0, moved.err
        assert moved.json()["open"] == []
        assert process.wait(20) == 0
    there = tmp_path / "there"
    assert deputize(project, "move", str(archive), "--into", str(there)).code == 0
    types = [type for _, type, _ in entries(there)]
    assert types[-2:] == ["restored", "halted"] and "moved" not in types
    assert [type for _, type, _ in entries(project)][-1] == "moved"


def test_what_is_still_being_sent_is_a_doubt_of_the_copy(tmp_path: Path) -> None:
    own = new_project(tmp_path)
    edit(own / "connectors" / "desk.py", 'raise CallUnknown("the line went dead")', "await asyncio.sleep(60)")
    edit(own / "connectors" / "desk.py", "timeout_s=0.2", "timeout_s=60")
    edit(own / "connectors" / "desk.py", "from pydantic", "import asyncio\nfrom pydantic")
    with served(own) as process:
        login(own)
        run = deputize(own, "send", "item.asked", "--data", '{"item": "a"}', "--json").json()["runs"][0]
        shown: dict[str, Any] = {}
        for _ in range(60):
            shown = deputize(own, "show", run, "--json").json()
            if shown["actions"]:
                break
        assert shown["actions"][0]["state"] == "open"
        moved = deputize(own, "move", str(tmp_path / "a.tar"), "--within-s", "0.2", "--json")
        assert moved.json()["open"] == [f"{run}/1"], moved
        process.wait(30)
    arrived = deputize(
        own, "move", str(tmp_path / "a.tar"), "--into", str(tmp_path / "there"), "--json"
    ).json()
    (left,) = arrived["unfinished"]
    assert (
        (left["id"], left["operation"]) == (f"{run}/1", "desk.sell") and left["key"] and left["first_sent_at"]
    )
    # Unpacking runs none of the code that was unpacked, so its contracts are not known yet.
    assert left["how"] == "its service is asked where it can be; else a person says whether it happened"


# -- killed at each step -------------------------------------------------------------------------------------

LEAVING = ("begun", "packed", "marked", "sealed", "named")
ARRIVING = ("unpacked", "marked", "named")


def killed(what: str, step: str, first: Path, second: Path) -> None:
    words = [sys.executable, "-m", "tests.support.moving_child", what, step, str(first), str(second)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("step", LEAVING)
def test_killed_while_it_leaves_exactly_one_copy_can_start_and_nothing_is_lost(
    project: Path, tmp_path: Path, step: str
) -> None:
    before, archive = entries(project), tmp_path / "shop.tar"
    killed("leave", step, project, archive)
    there = tmp_path / "there"
    packed = [path for path in (archive, archive.with_name("shop.tar.part")) if path.exists()]
    unpacked = 0
    for path in packed:
        try:
            arrive(path, there)
            unpacked += 1
        except MoveError as error:
            assert "is no finished archive" in str(error)
    here = starts(project)
    assert int(here) + unpacked == 1, (step, here, packed)
    alive = project if here else there
    assert entries(alive)[: len(before)] == before
    if here:
        # And the move can be made after all.
        assert deputize(project, "move", str(archive)).code == 0
        assert arrive(archive, there).files and not starts(project)
    else:
        assert starts(there)


@pytest.mark.parametrize("step", ["marked", "sealed"])
def test_a_move_that_was_killed_is_settled_by_the_next_move_too(
    project: Path, tmp_path: Path, step: str
) -> None:
    archive = tmp_path / "shop.tar"
    killed("leave", step, project, archive)
    again = deputize(project, "move", str(archive))
    if step == "marked":
        assert again.code == 0, again.err
    else:
        assert again.code == 1 and f"was moved to {archive}" in again.err
    assert archive.is_file() and is_sealed(archive) and not archive.with_name("shop.tar.part").exists()
    arrive(archive, tmp_path / "there")
    assert not starts(project)


@pytest.mark.parametrize("step", ARRIVING)
def test_killed_while_it_arrives_it_arrives_at_the_next_try(project: Path, tmp_path: Path, step: str) -> None:
    archive, there = tmp_path / "shop.tar", tmp_path / "there"
    leave(read_settings(project), archive, "a test")
    killed("arrive", step, archive, there)
    if step == "named":
        with pytest.raises(MoveError, match="is there already"):
            arrive(archive, there)
    else:
        assert not there.exists()
        arrive(archive, there)
    assert not (tmp_path / ".there.arriving").exists()
    assert starts(there) and not starts(project)


def test_what_was_carried_away_before_its_seal_can_never_be_unpacked(project: Path, tmp_path: Path) -> None:
    archive, aside = tmp_path / "shop.tar", tmp_path / "aside.tar"
    killed("leave", "marked", project, archive)
    part = archive.with_name("shop.tar.part")
    shutil.copy(part, aside)
    assert starts(project) and not part.exists()
    with pytest.raises(MoveError, match="no finished archive"):
        arrive(aside, tmp_path / "there")


def test_a_copy_whose_packed_part_is_gone_starts_only_on_a_persons_word(
    project: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "shop.tar"
    killed("leave", "marked", project, archive)
    archive.with_name("shop.tar.part").rename(tmp_path / "carried-away")
    assert not starts(project)
    assert deputize(project, "move", "--back", "--reason", "it was never sealed").code == 0
    assert starts(project)


def test_a_seal_that_was_torn_is_none(project: Path, tmp_path: Path) -> None:
    archive = tmp_path / "shop.tar"
    killed("leave", "sealed", project, archive)
    part = archive.with_name("shop.tar.part")
    with part.open("r+b") as file:
        file.truncate(part.stat().st_size - 10)
    with pytest.raises(MoveError, match="no finished archive"):
        arrive(part, tmp_path / "there")
    assert starts(project)


# -- what cannot be moved ------------------------------------------------------------------------------------


def test_what_cannot_be_packed_is_said_before_anything_stops(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "taken.tar"
    there.write_text("mine")
    settings = read_settings(project)
    with pytest.raises(MoveError, match="is there already"):
        leave(settings, there, "")
    with pytest.raises(MoveError, match="is no folder"):
        leave(settings, tmp_path / "none" / "a.tar", "")
    with pytest.raises(MoveError, match="is within the project"):
        leave(settings, project / "a.tar", "")
    (project / "linked").symlink_to(tmp_path)
    with pytest.raises(MoveError, match="is a link to a folder"):
        leave(settings, tmp_path / "a.tar", "")
    (project / "linked").unlink()
    (project / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(MoveError, match="a link to nowhere"):
        leave(settings, tmp_path / "a.tar", "")
    (project / "dangling").unlink()
    monkeypatch.setattr(leaving, "FREE_BYTES_MIN", 1 << 60)
    with pytest.raises(MoveError, match="make room"):
        leave(settings, tmp_path / "a.tar", "")
    monkeypatch.undo()
    elsewhere = read_settings(project)
    edit(project / "deputize.toml", "[project]\n", '[project]\ndata = "../elsewhere"\n')
    shutil.copytree(elsewhere.data, project.parent / "elsewhere")
    with pytest.raises(MoveError, match="is not within the project"):
        leave(read_settings(project), tmp_path / "a.tar", "")
    assert there.read_text() == "mine" and not (tmp_path / "a.tar").exists()
    assert not settle_move(elsewhere)


def test_secrets_that_are_not_in_the_folder_are_named_and_those_in_it_are_private(
    project: Path, tmp_path: Path
) -> None:
    (project / "pin.txt").write_text(SECRET)
    with (project / "deputize.toml").open("a") as settings:
        settings.write('# "env:NOT_MEANT"\n[connectors.a]\nbase = "http://a.example"\ntoken = "env:DOOR"\n')
        settings.write('[connectors.b]\nbase = "env:AWAY_URL"\ntoken = "file:pin.txt"\n')
        settings.write('[connectors.c]\nbase = "http://c.example"\ntoken = "file:/etc/hosts"\n')
    left = leave(read_settings(project), tmp_path / "a.tar", "a test")
    assert left.elsewhere == ("env:AWAY_URL", "file:/etc/hosts")
    assert "pin.txt" in left.private
    arrive(tmp_path / "a.tar", tmp_path / "there")
    assert stat.S_IMODE((tmp_path / "there" / "pin.txt").stat().st_mode) == 0o600


def test_a_file_that_changes_while_it_is_packed_stops_the_move(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = leaving.write_archive

    def late(*given: Any) -> None:
        (project / "README.md").write_text("now other")
        write(*given)

    monkeypatch.setattr(leaving, "write_archive", late)
    with pytest.raises(MoveError, match=r"README.md (was changed|cannot be packed)"):
        leave(read_settings(project), tmp_path / "a.tar", "")
    assert not list(tmp_path.glob("a.tar*")) and starts(project)


def test_what_cannot_be_unpacked_leaves_nothing_behind(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, there = tmp_path / "shop.tar", tmp_path / "there"
    leave(read_settings(project), archive, "a test")
    whole = archive.read_bytes()

    def refused(data: bytes, words: str) -> None:
        bad = tmp_path / "bad.tar"
        bad.write_bytes(data)
        with pytest.raises(MoveError, match=words):
            arrive(bad, there)
        assert not there.exists() and not (tmp_path / ".there.arriving").exists()

    refused(whole[:-1], "no finished archive")
    refused(whole[: len(whole) // 2], "no finished archive")
    refused(b"", "no finished archive")
    middle = len(whole) // 2
    refused(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "changed or damaged")
    with pytest.raises(MoveError, match="there is no file"):
        arrive(tmp_path / "none.tar", there)
    there.mkdir()
    (there / "mine").write_text("mine")
    with pytest.raises(MoveError, match="is there already"):
        arrive(archive, there)
    assert (there / "mine").read_text() == "mine"
    shutil.rmtree(there)
    with pytest.raises(MoveError, match="there is no folder"):
        arrive(archive, tmp_path / "none" / "there")
    monkeypatch.setattr(arriving, "FREE_BYTES_MIN", 1 << 60)
    with pytest.raises(MoveError, match="make room"):
        arrive(archive, there)
    assert not there.exists()


Changing = Callable[[dict[str, Any], list[tuple[tarfile.TarInfo, bytes]]], None]


def forged(archive: Path, change: Changing) -> None:
    """The same archive, changed and sealed again, as somebody who means harm would."""
    with tarfile.open(archive, "r:") as tar:
        members = [(member, (tar.extractfile(member) or io.BytesIO()).read()) for member in tar]
    manifest = json.loads(members[0][1])
    change(manifest, members)
    members[0] = (members[0][0], json.dumps(manifest).encode())
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in members:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    seal(archive)


def listed(manifest: dict[str, Any], name: str, data: bytes) -> None:
    one = {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "mode": 0o644}
    manifest["files"].append(one)


def adds(name: str, *, type: bytes = tarfile.REGTYPE, link: str = "", in_list: bool = True) -> Changing:
    def change(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = type, link
        data = b"evil" if type == tarfile.REGTYPE else b""
        members.append((member, data))
        if in_list:
            listed(manifest, name, data)

    return change


def without(key: str, value: Any) -> Changing:
    def change(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        manifest[key] = value

    return change


def drops_the_last(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.pop()


def other_bytes(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    member, data = members[-1]
    members[-1] = (member, bytes(len(data)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (adds("../evil"), "is not safe"),
        (adds("a/../../evil"), "is not safe"),
        (adds("a//evil"), "is not safe"),
        (adds("deputize.toml"), "is not safe"),
        (adds("deputize.toml/evil"), "is not safe"),
        (adds("evil", in_list=False), "is not .so. in its list"),
        (adds("evil", type=tarfile.SYMTYPE, link="/etc/passwd"), "is not .so. in its list"),
        (adds("evil", type=tarfile.LNKTYPE, link="deputize.toml"), "is not .so. in its list"),
        (adds("evil", type=tarfile.CHRTYPE), "is not .so. in its list"),
        (without("format", 2), "packed by another version of Deputize .format 2"),
        (without("schema", 999), "newer version of Deputize"),
        (without("files", "none"), "its list cannot be read"),
        (without("ledger", "data/none.db"), "holds no ledger"),
        (without("ledger_id", "another"), "another than its list says"),
        (drops_the_last, "lacks"),
        (other_bytes, "is damaged"),
    ],
)
def test_an_archive_that_means_harm_unpacks_nothing(
    project: Path, tmp_path: Path, change: Changing, words: str
) -> None:
    archive = tmp_path / "sub" / "shop.tar"
    archive.parent.mkdir()
    leave(read_settings(project), archive, "a test")
    forged(archive, change)
    with pytest.raises(MoveError, match=words):
        arrive(archive, tmp_path / "sub" / "there")
    assert sorted(path.name for path in archive.parent.iterdir()) == ["shop.tar"]
    assert not (tmp_path / "evil").exists()


def test_a_name_from_the_root_is_not_unpacked_either(project: Path, tmp_path: Path) -> None:
    archive = tmp_path / "shop.tar"
    leave(read_settings(project), archive, "a test")
    forged(archive, adds(str(tmp_path / "evil")))
    with pytest.raises(MoveError, match="is not safe"):
        arrive(archive, tmp_path / "there")
    assert not (tmp_path / "evil").exists()


def test_the_same_archive_unchanged_but_sealed_anew_is_unpacked(project: Path, tmp_path: Path) -> None:
    """What the test above is worth: its way of forging breaks nothing by itself."""
    archive = tmp_path / "shop.tar"
    leave(read_settings(project), archive, "a test")
    forged(archive, lambda manifest, members: None)
    arrive(archive, tmp_path / "there")
    began = time.monotonic()
    assert starts(tmp_path / "there") and time.monotonic() - began < 60
