"""A replacement of files that is killed at any call leaves the old or the new content whole; the
next one tidies up.
"""

import json
import math
import multiprocessing
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from conure_core.errors import DataError
from conure_core.runtime import atomic_files
from conure_core.runtime.atomic_files import (
    last_whole,
    read_json,
    replacing,
    sweep,
    write_json,
    write_text,
)
from conure_core.runtime.json_text import json_text

CALLS = ("rename", "replace", "fsync", "unlink", "rmdir", "mkdir", "open", "close", "listdir")
MORE_THAN_ALL = 1000


def content(path):
    """What a reader gets: a text, or the texts of a folder."""
    path = last_whole(path)
    if path.is_dir():
        return {
            str(file.relative_to(path)): file.read_text()
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }
    return path.read_text() if path.exists() else None


def write_file(path, text):
    write_text(path, text)


def write_folder(path, text):
    with replacing(path) as temporary:
        (temporary / "deep").mkdir(parents=True)
        for name in ("one", "deep/two", "deep/three"):
            (temporary / name).write_text(text)


def whole(write, text):
    return text if write is write_file else dict.fromkeys(["deep/three", "deep/two", "one"], text)


def killed_at(number, write, path):
    """Do the write in a child that kills itself at this call; whether it came so far."""
    child = os.fork()
    if child == 0:
        count = 0

        def counting(call):
            def called(*arguments, **named):
                nonlocal count
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **named)

            return called

        for name in CALLS:
            setattr(os, name, counting(getattr(os, name)))
        sys.addaudithook(lambda event, _: counting(lambda: None)() if event == "open" else None)
        try:
            write(path, "new")
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("before", ["old", None])
@pytest.mark.parametrize("write", [write_file, write_folder])
def test_a_kill_at_any_call_leaves_the_old_or_the_new_content_whole(tmp_path, write, before):
    path, seen, kills = tmp_path / "data", set(), 0
    allowed = [whole(write, "new"), whole(write, before) if before else None]
    for number in range(1, MORE_THAN_ALL):
        if before:
            write(path, before)
        killed = killed_at(number, write, path)
        found = content(path)
        assert found in allowed, f"after a kill at call {number}"
        if not killed:
            break
        kills += 1
        seen.add(json.dumps(found))
        write(path, "next")
        assert content(path) == whole(write, "next")
        assert [file.name for file in tmp_path.iterdir()] == ["data"], (
            f"after a kill at call {number}"
        )
        if not before:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert kills > 5
    assert len(seen) == 2, "kills came only before or only after the replacement"


def test_a_folder_killed_between_the_renames_is_found_also_where_nothing_can_be_renamed(
    tmp_path, monkeypatch
):
    path = tmp_path / "data"
    write_folder(path, "old")
    for number in range(1, MORE_THAN_ALL):
        assert killed_at(number, write_folder, path), "no kill came between the renames"
        if not path.exists():
            break

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(os, "rename", refused)
    assert last_whole(path) != path
    assert content(path) == whole(write_folder, "old")


def test_everything_is_on_the_disk_before_it_takes_the_final_name(tmp_path, monkeypatch):
    happened = []
    real_sync, real_rename = os.fsync, os.rename

    def sync(handle):
        happened.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))))  # noqa: PTH115, PTH119
        real_sync(handle)

    def rename(old, new):
        happened.append(("rename", os.path.basename(new)))  # noqa: PTH119
        real_rename(old, new)

    write_folder(tmp_path / "data", "old")
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", rename)
    write_folder(tmp_path / "data", "new")
    taken = happened.index(("rename", "data"))
    assert {name for call, name in happened[:taken] if call == "fsync"} >= {
        "one",
        "two",
        "three",
        "deep",
    }
    assert ("fsync", tmp_path.name) in happened[taken:]


def test_a_failing_write_leaves_the_old_content_and_no_temporary(tmp_path):
    for write in (write_file, write_folder):
        path = tmp_path / write.__name__
        write(path, "old")
        with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError
        assert content(path) == whole(write, "old")
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    with replacing(tmp_path / "data") as temporary:
        temporary.write_text("half")
        child = multiprocessing.get_context("fork").Process(
            target=write_file, args=(tmp_path / "other", "text")
        )
        child.start()
        child.join()
        assert child.exitcode == 0
        temporary.write_text("whole")
    assert content(tmp_path / "data") == "whole"


def _write_often(path, text):
    for _ in range(30):
        write_folder(path, text)


def test_processes_that_replace_one_folder_leave_one_of_theirs_whole(tmp_path):
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=_write_often, args=(tmp_path / "data", text)) for text in ("a", "b")
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert content(tmp_path / "data") in (whole(write_folder, "a"), whole(write_folder, "b"))
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_a_link_is_kept_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk" / "data")
    for text in ("old", "new"):
        write_folder(tmp_path / "data", text)
    assert (tmp_path / "data").is_symlink()
    assert content(tmp_path / "disk" / "data") == whole(write_folder, "new")


@pytest.mark.parametrize("text", ["", "{", "\x00" * 40, '{"a": [1, 2', "[" * 100_000])
def test_a_damaged_json_file_says_so_and_what_to_do(tmp_path, text):
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(DataError, match=r"data\.json is damaged \(.+\); train it again"):
        read_json(tmp_path / "data.json", "train it again")


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "data.json", {"a": [1]})
    assert read_json(tmp_path / "data.json", "train it again") == {"a": [1]}
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json", "train it again")


def test_no_number_that_json_has_not_gets_into_a_file(tmp_path):
    bad = {"a": [1.5, math.nan], "b": {"c": (math.inf, -math.inf, "NaN")}}
    write_json(tmp_path / "data.json", bad)
    text = (tmp_path / "data.json").read_text()
    plain = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in {text}"))
    assert plain == {"a": [1.5, None], "b": {"c": [None, None, "NaN"]}}
    assert read_json(tmp_path / "data.json", "again") == plain
    (tmp_path / "old.json").write_text('{"a": NaN, "b": -Infinity}')
    assert read_json(tmp_path / "old.json", "again") == {"a": None, "b": None}


def test_json_text_is_strict_where_it_is_asked_to_be_and_also_of_what_it_converts():
    with pytest.raises(ValueError):
        json_text({"a": math.nan}, strict=True)
    converted = json_text({"a": {1, 2}, "b": math.nan}, default=lambda value: math.inf)
    assert json.loads(converted) == {"a": None, "b": None}
    with pytest.raises(TypeError):
        json_text({"a": {1, 2}, "b": math.nan})


def test_nobody_writes_json_but_the_one_writer():
    """`make setup` runs before there is a package to import; tests and their tools may."""
    root = Path(__file__).parents[2]
    writer = "ros2_ws/src/conure_core/conure_core/runtime/json_text.py"
    may = {writer, "ros2_ws/setup_workspace.py"}
    others = [
        str(path.relative_to(root))
        for folder in ("ros2_ws", "sim", "training", "calibration", "launch")
        for path in (root / folder).rglob("*.py")
        if re.search(r"\bjson\.dumps?\(", path.read_text())
    ]
    assert set(others) == may


def test_names_that_only_look_alike_are_left_alone(tmp_path):
    names = [
        ".a.tmp",
        ".data.1234.tmp",
        "data.old",
        ".data.old",
        ".data.some-one-is-here-too.1.tmp",
    ]
    for name in names:
        (tmp_path / name).write_text("mine")
    sweep(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)
    assert atomic_files.last_whole(tmp_path / "data") == tmp_path / "data"
