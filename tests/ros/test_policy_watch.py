"""Control agrees on a bundle by its spec.json alone, and refuses by name one that does not fit."""

import dataclasses

import pytest

from conure_core.contract.bundle import SPEC, BundleSpec
from conure_core.errors import SpecMismatch
from conure_core.robot.description import load_robot
from conure_ros.control.parameters import ControlParameters
from conure_ros.control.policy_monitor import PolicyWatch

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
