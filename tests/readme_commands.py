"""The commands of the README, run as they stand at toy size, or checked where they change the
machine, start a graph or ask a person.
"""

import contextlib
import re
import shlex
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest

from conure_core.cli import main
from conure_ros.bringup.graphs import find_graph
from conure_ros.commands import up
from tests.pages import README, ROOT, commands
from tests.training.arm_recording import record
from tests.training.toy_runs import TINY_PRIOR, TINY_RL

TOY = {
    "demos": ["episodes.Lift=4", "episodes.PlaceInTray=2", "episodes.PlaceInBox=0", "workers=1"],
    "prior": [*TINY_PRIOR, "static_scenes=40"],
    "evaluate": ["episodes=1", "workers=1"],
    "rl": [*TINY_RL, "steps=60"],
    "export": ["golden=2", "observations=4", "calls=4"],
    "view": ["size=64"],
}
ASKS_A_PERSON = ("keys",)
"""Whoever does what these ask for has recordings then."""


def try_all(folder: Path) -> Path:
    """Run every command of the README in this folder, which gets the sources that it names."""
    for name in ("ros2_ws", "sim", "examples"):
        (folder / name).symlink_to(ROOT / name)
    with contextlib.chdir(folder):
        for command in commands(README):
            if command.startswith("conure "):
                _run_conure(shlex.split(command)[1:])
            else:
                _run_other(command)
    return folder


def _run_conure(words: list[str]) -> None:
    """A `conure` command at toy size; a graph as far as its start."""
    verb, started = words[0], []
    if verb in ASKS_A_PERSON:
        with pytest.raises(SystemExit, match="0"):
            main([verb, "--help"])
        for name in ("first", "second", "third"):
            record(Path("out/recordings"), name, ticks=12, task="")
        return
    with patch.object(up, "run_graph", lambda name, given: started.append(find_graph(name, given))):
        assert main([*words, *TOY.get(verb, [])]) == 0, f"conure {' '.join(words)}"
    assert bool(started) == (verb == "up")


def _run_other(command: str) -> None:
    words = shlex.split(command)
    if command.startswith("sudo apt-get install "):
        wanted = (ROOT / ".ci" / "run").read_text()
        assert all(re.search(rf"[(\s]{re.escape(name)}[)\s]", wanted) for name in words[3:])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif command == ". .venv/bin/activate":
        assert 'VENV = ROOT / ".venv"' in (ROOT / "ros2_ws" / "setup_workspace.py").read_text()
    else:
        assert words[0] in ("mkdir", "cp"), f"say here how '{command}' is checked"
        subprocess.run(words, check=True)
