"""What `conure_core` offers by name is there, and costs nothing until it is used."""

import subprocess
import sys

import numpy as np
import pytest

import conure_core


@pytest.mark.parametrize("name", conure_core.__all__)
def test_every_name_is_documented(name: str) -> None:
    assert name in dir(conure_core)
    assert getattr(conure_core, name).__name__ == name
    assert getattr(conure_core, name).__doc__


def test_a_loop_of_these_names_alone_turns_an_action_into_a_joint_command() -> None:
    robot = conure_core.load_robot("wx250s")
    loop = conure_core.ControlLoop(conure_core.Arm(robot))
    home_rad = np.array(robot.home_rad)
    loop.reset(home_rad, robot.gripper_open_m)
    with pytest.raises(conure_core.ConureError):
        loop.step(np.full(7, np.nan), home_rad)
    command = loop.step(np.zeros(7), home_rad)
    assert np.allclose(command.joint_rad, home_rad, atol=1e-6)


def test_an_unknown_name_is_refused_and_a_package_of_it_is_still_found() -> None:
    with pytest.raises(ImportError, match="load_robt"):
        from conure_core import load_robt  # noqa: F401
    from conure_core import runtime

    assert runtime.__name__ == "conure_core.runtime"


def test_nothing_heavy_is_imported_with_the_package() -> None:
    code = (
        "import sys, conure_core\n"
        "print({'numpy', 'pinocchio', 'onnxruntime', 'hydra'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "set()"
