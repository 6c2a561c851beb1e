"""README, tried as a new user would: every command and every Python block, in the order in which
they stand, at toy size.
"""

import json
import re
import shlex
import subprocess
from importlib.metadata import version

import pytest
import yaml

from conure_core.cli import main
from conure_ros.bringup.graphs import GRAPHS, find_graph
from conure_ros.commands import up
from conure_sim.tasks import TASKS
from conure_sim.tools.gallery import arm_names
from conure_training.demo import pictures
from conure_training.results import readme
from conure_training.results.plan import load_plan
from conure_training.runtime.marked_blocks import read_block
from tests.pages import README, ROOT, blocks, commands
from tests.training.toy_runs import TINY_PRIOR, TINY_RL

TOY = {
    "demos": [
        "episodes.Lift=6",
        "episodes.PlaceInTray=2",
        "episodes.PlaceInBox=0",
        "workers=1",
    ],
    "prior": TINY_PRIOR,
    "evaluate": ["episodes=1", "workers=1"],
    "rl": [*TINY_RL, "steps=60"],
    "export": ["golden=2", "observations=4", "calls=4"],
    "view": ["size=64"],
}
ASKS_A_PERSON = ("keys",)
LARGEST_PICTURES_BYTES = 3_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working tree to try things in, whose sources are those here."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("ros2_ws", "sim", "examples"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run_conure(words, started):
    """A `conure` command at toy size; graphs are checked as far as their start."""
    verb = words[0]
    if verb in ASKS_A_PERSON:
        with pytest.raises(SystemExit, match="0"):
            main([verb, "--help"])
        return
    assert main([*words, *TOY.get(verb, [])]) == 0
    if verb == "up":
        name, given = started.pop()
        assert find_graph(name, given)


def run_other(command):
    """A command that is not `conure`: run, or checked where it changes the machine."""
    words = shlex.split(command)
    if command.startswith("sudo apt-get install "):
        wanted = (ROOT / ".ci" / "run").read_text()
        assert all(re.search(rf"[(\s]{re.escape(name)}[)\s]", wanted) for name in words[3:])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif command == ". .venv/bin/activate":
        assert "VENV = " in (ROOT / "ros2_ws" / "setup_workspace.py").read_text()
    else:
        assert words[0] in ("mkdir", "cp"), f"say here how '{command}' is checked"
        subprocess.run(words, check=True)


def test_every_command_and_every_python_block_of_the_readme_works(folder, monkeypatch):
    monkeypatch.chdir(folder)
    started = []
    monkeypatch.setattr(up, "run_graph", lambda name, given: started.append((name, given)))
    for command in commands(README):
        if command.startswith("conure "):
            run_conure(shlex.split(command)[1:], started)
        else:
            run_other(command)
    for block in blocks(README):
        if block.language == "python":
            exec(compile(block.text, str(README), "exec"), {})


def test_its_table_is_what_the_command_makes_of_the_committed_records():
    table = readme.results_table(load_plan(""), ROOT / "docs/results")
    assert read_block(README, readme.TABLE) == table, "conure results readme writes it anew"


def test_the_film_is_shown_with_what_its_record_says():
    record = ROOT / "docs/pictures" / pictures.RECORD
    shown = pictures.with_picture(json.loads(record.read_text())) if record.is_file() else ""
    assert read_block(README, pictures.CAPTION) == shown, "conure pictures writes it anew"


def test_all_pictures_together_are_small():
    folders = (ROOT / "docs/pictures", ROOT / "docs/results/figures")
    sizes = {path.name: path.stat().st_size for folder in folders for path in folder.iterdir()}
    assert sum(sizes.values()) < LARGEST_PICTURES_BYTES, sizes


def test_the_drawn_graph_is_that_of_the_table_of_topics():
    drawn = next(block.text for block in blocks(README) if "joint_trajectory" in block.text)
    edges = re.findall(r'(\w+)(?:\[".*?"\])? *-->\|(.+?)\| *(\w+)', drawn.replace("\n    ", " "))
    nodes = {node.name for graph in GRAPHS.values() for node in graph.possible()}
    rows = {}
    for line in (ROOT / "docs/ros.md").read_text().splitlines():
        if line.startswith("| `/"):
            topic, _, senders, receivers, *_ = (cell.strip(" `") for cell in line[1:].split("|"))
            rows[topic] = (senders.split(", "), receivers.split(", "))
    assert len(edges) == drawn.count("-->") > 5
    for sender, topic, receiver in edges:
        senders, receivers = rows[f"/{topic}"]
        assert receiver in nodes
        assert receiver in receivers
        assert sender in senders if sender in nodes else senders == ["-"]


def test_tasks_and_arms_are_as_many_as_it_says():
    text = README.read_text()
    assert f"{len(TASKS)} tasks, four arms" in text
    assert len(arm_names()) == 4


def test_the_citation_file_names_this_version_and_only_papers_that_the_code_names():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version("conure")
    folders = ("training", "sim", "ros2_ws/src")
    sources = "".join(
        path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")
    )
    for paper in citation["references"]:
        named = re.compile(rf"{paper['authors'][0]['family-names']}\b")
        assert named.search(sources), f"no source names {paper['title']}"
