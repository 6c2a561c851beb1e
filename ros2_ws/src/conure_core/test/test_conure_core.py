"""What is installed works without the repository: every robot loads, from its own files."""

from pathlib import Path

import numpy as np
import pytest

from conure_core.robot import description
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot

FOLDER = Path(description.__file__).parents[1] / "robots"
ROBOTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", ROBOTS)
def test_a_robot_loads_and_is_free_of_collisions_at_home(name):
    arm = Arm(load_robot(name))
    home_rad = np.array(arm.config.home_rad)
    assert arm.first_collision(home_rad) is None
    assert np.isfinite(arm.forward(home_rad)).all()
