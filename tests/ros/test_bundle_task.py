"""A bundle brings the task, the target and the objects that its policy was trained for."""

import json

import pytest

from conure_core.contract.bundle_files import SPEC, read_file
from conure_core.contract.bundle_spec import BundleSpec
from conure_ros.bringup.bundle_task import differences
from conure_ros.bringup.graph_parameters import node_parameters


@pytest.fixture
def trained(bundle, tmp_path):
    """A bundle's folder with this in the training's note; its graphs are not read here."""

    def written(**note):
        spec = BundleSpec.from_json(read_file(bundle, SPEC))
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        new = BundleSpec(**{**vars(spec), "training": {"agent": "policy.pt", **note}})
        (folder / SPEC).write_text(new.to_json())
        return str(folder)

    return written


def test_what_nobody_gives_is_the_bundles_in_every_node_that_takes_it(trained):
    folder = trained(task="Place", target="random_904", objects="train")
    values = node_parameters("evaluate", {"bundle": folder})
    for node in ("sim_robot", "evaluator"):
        assert (values[node]["task"], values[node]["target"]) == ("Place", "random_904")
    assert values["sim_robot"]["objects"] == "train"
    empty = {"task": "", "target": "", "objects": ""}
    assert node_parameters("evaluate", {"bundle": folder, **empty}) == values
    assert differences({"bundle": folder}) == []


def test_what_somebody_gives_wins_and_the_difference_is_said(trained):
    folder = trained(task="Lift", target="random_904", objects="test")
    given = {"bundle": folder, "target": "box_test_04", "task": "Lift"}
    values = node_parameters("sim", given)
    assert values["sim_robot"]["target"] == "box_test_04"
    (sentence,) = differences(given)
    assert "target=box_test_04" in sentence and "trained for target=random_904" in sentence
    by_node = node_parameters("sim", {"bundle": folder, "sim_robot.target": "random_905"})
    assert by_node["sim_robot"]["target"] == "random_905"


@pytest.mark.parametrize("note", [{}, {"task": 5, "target": None}, {"target": ""}])
def test_a_bundle_that_does_not_say_leaves_the_defaults(trained, note):
    folder = trained(**note)
    for given in ({"bundle": folder}, {"bundle": f"{folder}/nowhere"}, {}):
        values = node_parameters("sim", given)["sim_robot"]
        assert (values["task"], values["target"], values["objects"]) == ("Lift", "", "test")
        assert differences({**given, "task": "Place"}) == []


def test_a_damaged_bundle_is_left_to_the_nodes_that_refuse_it(trained, tmp_path):
    folder = trained(task="Place")
    text = json.loads((tmp_path / "bundle" / SPEC).read_text())
    (tmp_path / "bundle" / SPEC).write_text(json.dumps({**text, "name": "altered"}))
    assert node_parameters("sim", {"bundle": folder})["sim_robot"]["task"] == "Lift"
