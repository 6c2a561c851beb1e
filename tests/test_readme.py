"""README, tried as a new user would: every command and every Python block, in the order in which
they stand, at toy size.
"""

import json
import re
from importlib.metadata import version

import pytest
import yaml
from conure_experiments import readme
from conure_experiments.plan import load_plan

from conure_ros.bringup.graphs import GRAPHS
from conure_sim.tasks import TASKS
from conure_sim.tools.gallery import arm_names
from conure_training.demo import pictures
from conure_training.demo.summary import DEMO_LIMIT_S
from conure_training.runtime.marked_blocks import read_block
from tests.pages import README, ROOT, blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LARGEST_PICTURES_BYTES = 3_000_000


def test_every_command_of_the_readme_works(tried):
    assert {path.name for path in (tried / "out").iterdir()} >= {"demos", "prior", "rl", "bundle"}
    assert len(list((tried / "out" / "view").glob("*.mp4"))) == 2


@pytest.mark.parametrize(
    "block", [block for block in blocks(README) if block.language == "python"], ids=lambda _: ""
)
def test_every_python_block_of_the_readme_works(block, tried, monkeypatch):
    monkeypatch.chdir(tried)
    exec(compile(block.text, str(README), "exec"), {})


def test_its_table_is_what_the_command_makes_of_the_committed_records():
    table = readme.results_table(load_plan(""), ROOT / "docs/results")
    assert read_block(README, readme.TABLE) == table, (
        "python training/experiments/run.py readme writes it anew"
    )


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
    nodes = {node.name for graph in GRAPHS.values() for node in graph.possible_nodes()}
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


def test_the_time_that_the_demo_has_is_the_one_that_its_report_judges_by():
    assert f"under {DEMO_LIMIT_S / 60:.0f} minutes" in README.read_text()
