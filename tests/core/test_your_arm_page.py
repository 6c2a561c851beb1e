"""docs/your_arm.md against the loaders: every key on the page is one that they know, and the other
way round.
"""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from conure_core.config.yaml_fields import bounds_of
from conure_core.robot.description import ROBOTS_DIR, RobotConfig
from conure_core.robot.ros2_control import Ros2ControlConfig
from conure_core.servos.bus_config import BusConfig, ServoConfig
from conure_sim.physics.arm_simulation import ArmSimulation

PAGE = (Path(__file__).parents[2] / "docs" / "your_arm.md").read_text()
HEAD = "| key | unit, size | meaning |\n"
SCHEMAS = (RobotConfig, Ros2ControlConfig, BusConfig, ServoConfig, ArmSimulation)


def tables() -> list[set[str]]:
    """The keys in the first column of each table, in the page's order."""
    found = []
    for after in PAGE.split(HEAD)[1:]:
        rows = after.split("\n\n")[0].splitlines()[1:]
        found.append({key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1])})
    return found


@pytest.mark.parametrize(("schema", "keys"), list(zip(SCHEMAS, tables(), strict=True)))
def test_the_page_lists_every_key_and_no_other(schema: type, keys: set[str]) -> None:
    assert keys == {field.name for field in fields(schema)}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_page_says_every_range(schema: type) -> None:
    for name, bounds in bounds_of(schema).items():
        row = next(
            line
            for line in PAGE.splitlines()
            if line.startswith("|") and f"`{name}`" in line.split("|")[1]
        )
        assert str(bounds) in row.split("|")[2], name


def test_the_page_names_every_shipped_robot() -> None:
    for path in ROBOTS_DIR.glob("*.yaml"):
        name = path.stem.removesuffix("_ros2_control").removesuffix("_sim")
        assert f"`{name}`" in PAGE, path.stem
