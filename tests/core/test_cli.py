"""Verbs of one word and of two, from whatever distributions are installed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomllib

from conure_core.cli import ANYWHERE, GROUP, command, main, registry, summary, verbs

ROOT = Path(__file__).parents[2]

BENCHES = [name for name in verbs() if name.startswith("bench ")]


@pytest.mark.parametrize("words", [[], ["help"], ["--help"]])
def test_conure_alone_lists_every_verb(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in verbs())


@pytest.mark.parametrize("group", [GROUP, ANYWHERE])
def test_the_verbs_installed_are_those_of_pyproject(group: str) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    installed = {name: verb.value for name, verb in verbs().items() if verb.group == group}
    assert installed == declared[group], "the installation is older: run make setup"


@pytest.mark.parametrize("name", verbs())
def test_a_verb_is_listed_with_the_first_line_of_its_function(name: str) -> None:
    verb = verbs()[name]
    assert verb.load().__doc__.startswith(summary(verb))


def test_listing_the_verbs_imports_none_of_them() -> None:
    code = (
        "import sys; from conure_core.cli import main; main([]);"
        " print({'conure_ros', 'conure_sim', 'conure_training', 'numpy'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, "set()"), run.stderr


@pytest.mark.parametrize("words", [["bench"], ["bench", "--help"]])
def test_bench_alone_lists_what_can_be_measured(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [" ".join(line.split()[:2]) for line in lines] == BENCHES


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bench", "simm"], f"did you mean 'bench sim'? Valid: {', '.join(sorted(BENCHES))}."),
        (["bench", "rows=[speed]"], f"Valid: {', '.join(sorted(BENCHES))}."),
        (["dmo"], "did you mean 'demo'"),
    ],
)
def test_an_unknown_verb_lists_the_valid_ones(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    assert expected in capsys.readouterr().err


def test_help_gives_each_key_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "bus", "--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("conure bench bus ")
    assert {"port: sim", "seconds: 20.0", "corrupt: 0.05"} <= set(lines)


def conure(words: str, **places: Any) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-c",
        "import sys; from conure_core.cli import main; sys.exit(main())",
        *words.split(),
    ]
    return subprocess.run(command, text=True, timeout=60, **{"stderr": subprocess.PIPE, **places})


@pytest.mark.parametrize("words", ["", "stop --help"])
def test_a_reader_that_left_is_no_error(words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = conure(words, stdout=gone)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", ["", "stop --help"])
def test_a_full_disk_is_one_line(words: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = conure(words, stdout=full)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr and done.stderr.count("\n") == 1


def test_a_current_folder_that_was_deleted_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["runs"]) == 1
    assert (
        capsys.readouterr().err
        == "conure runs: the current folder was deleted; change into another one\n"
    )


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (PermissionError(13, "Permission denied", "/x"), 1, "/x: Permission denied; give a place"),
        (
            OSError(30, "Read-only file system", "/x"),
            1,
            "/x: Read-only file system; give a place on a disk",
        ),
        (OSError(28, "No space left on device", "/x"), 1, "the disk is full (/x)"),
        (MemoryError(), 1, "memory ran out"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    error: BaseException, status: int, said: str, monkeypatch, capsys
) -> None:
    def run(_: list[str]) -> None:
        raise error

    monkeypatch.setattr(command, "load_verb", lambda _: run)
    assert main(["runs"]) == status
    told = capsys.readouterr().err.strip()
    assert told.startswith("conure runs: ") and said in told and "\n" not in told


def test_a_bug_keeps_its_traceback(monkeypatch) -> None:
    def run(_: list[str]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(command, "load_verb", lambda _: run)
    with pytest.raises(ZeroDivisionError):
        main(["runs"])


def install(folder: Path, entry_points: str, source: str) -> Path:
    """Another distribution in a folder, as pip lays it down."""
    (folder / "greetings-1.0.dist-info").mkdir(parents=True)
    (folder / "greetings-1.0.dist-info/METADATA").write_text("Name: greetings\nVersion: 1.0\n")
    (folder / "greetings-1.0.dist-info/entry_points.txt").write_text(entry_points)
    (folder / "greetings").mkdir()
    (folder / "greetings/__init__.py").touch()
    (folder / "greetings/wave.py").write_text(source)
    return folder


def conure_with(folder: Path, words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return conure(words, env=environment, stdout=subprocess.PIPE)


WAVE = '''def wave(words: list[str]) -> None:
    """Wave with the arm."""
    print("waves", *words)
'''


def test_a_verb_of_another_distribution_is_listed_and_called(tmp_path: Path) -> None:
    folder = install(tmp_path, f"[{GROUP}]\nwave = greetings.wave:wave\n", WAVE)
    assert "Wave with the arm\n" in conure_with(folder, "").stdout
    assert conure_with(folder, "wave times=2").stdout == "waves times=2\n"


def test_a_verb_whose_packages_are_missing_says_which_extra_brings_them(tmp_path: Path) -> None:
    points = f"[{GROUP}]\nwave = greetings.wave:wave [sim]\n"
    folder = install(tmp_path, points, "import a_missing_package\n")
    said = conure_with(folder, "wave").stderr
    assert said == (
        "conure wave: 'conure wave' needs 'a_missing_package': pip install 'conure[sim]', or make"
        " setup\n"
    )


@pytest.mark.parametrize("group", [GROUP, ANYWHERE])
def test_no_other_distribution_replaces_a_verb_of_conure(group: str, tmp_path: Path) -> None:
    folder = install(tmp_path, f"[{group}]\nstop = greetings.wave:wave\n", WAVE)
    done = conure_with(folder, "stop --help")
    assert done.stdout.startswith("conure stop "), done.stderr


def test_without_installed_verbs_it_says_how_to_install_them(monkeypatch, capsys) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: ())
    verbs.cache_clear()
    try:
        assert main([]) == 1
    finally:
        verbs.cache_clear()
    assert "run make setup" in capsys.readouterr().err
