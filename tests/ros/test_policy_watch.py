"""Control agrees on a bundle by its spec.json alone, and refuses by name one that does not fit."""

import dataclasses
from types import SimpleNamespace

import pytest

from conure_core.contract.bundle import SPEC, BundleSpec
from conure_core.errors import SpecMismatch
from conure_core.robot.description import load_robot
from conure_ros.comms.diagnostics import Tally
from conure_ros.control.parameters import ControlParameters
from conure_ros.control.policy_monitor import PolicyWatch
from conure_ros.nodes import policy_node
from conure_ros.nodes.policy_node import START_S, PolicyNode

ROBOT = load_robot("wx250s")


def watch(folder, image_shape):
    contract = ROBOT.contract(48)
    image = dataclasses.replace(contract.observation.image, shape=image_shape)
    observation = dataclasses.replace(contract.observation, image=image)
    spec = BundleSpec(
        contract=dataclasses.replace(contract, observation=observation),
        name="made up",
        git_commit="unknown",
        exported_at="2026-01-01T00:00:00+00:00",
        training={},
        log_likelihood_thresholds={},
        files={},
    )
    (folder / SPEC).write_text(spec.to_json())
    return PolicyWatch(ControlParameters(bundle=str(folder)), ROBOT)


@pytest.mark.parametrize("side_px", [16, 224])
def test_images_of_any_size_fit_control_which_sees_none(tmp_path, side_px):
    assert "no log-likelihood thresholds" in watch(tmp_path, (side_px, side_px, 3)).summary


@pytest.mark.parametrize("shape", [(), (48,), (48, 24, 3), (48, 48, 3, 1), (3, 48, 48)])
def test_images_of_another_kind_are_refused_by_field(tmp_path, shape):
    with pytest.raises(SpecMismatch, match=r"observation\.image\.shape: expected"):
        watch(tmp_path, shape)


class Watching:
    """What policy_node warns of, with a clock of the test's own."""

    def __init__(self, monkeypatch):
        self.now_s, self.warned = 100.0, []
        monkeypatch.setattr(policy_node.time, "monotonic", lambda: self.now_s)
        log = SimpleNamespace(warning=self.warned.append)
        self.node = SimpleNamespace(
            tally=Tally(), fault="", last_warning="", activated_s=100.0, get_logger=lambda: log
        )
        self.node._warn_once = lambda: PolicyNode._warn_once(self.node)

    def drop(self, why, after_s):
        self.now_s = 100.0 + after_s
        PolicyNode._drop(self.node, "kind", why)


def test_what_is_dropped_while_the_nodes_come_up_is_no_reason_for_a_warning(monkeypatch):
    watching = Watching(monkeypatch)
    watching.drop("no joint_states yet", 0.1)
    assert watching.warned == [] and watching.node.fault == "no joint_states yet"


def test_what_is_dropped_later_is_warned_of_once(monkeypatch):
    watching = Watching(monkeypatch)
    for _ in range(3):
        watching.drop("a late image", START_S + 0.1)
    assert watching.warned == ["a late image"]
