"""Shipped files for real arms: their limits are those of a first run."""

import pytest

from conure_core.config.yaml_fields import read_yaml
from conure_core.errors import ConfigError
from conure_core.robot.description import ROBOTS_DIR, load_robot
from conure_core.servos.bus_config import load_bus, port_path

FILES = {path.stem: read_yaml(path) for path in sorted(ROBOTS_DIR.glob("*.yaml"))}
METAL = [
    name
    for name, data in FILES.items()
    if {"bus", "ros2_control"} & set(data) and not name.endswith("_sim")
]
SIMULATED = [name for name in FILES if name.endswith("_sim")]
FIRST_SPEED_RAD_S, SHARE = 0.5, 0.15


@pytest.mark.parametrize("name", METAL)
def test_a_file_that_drives_a_real_arm_is_slow_careful_and_gentle(name):
    robot, base = load_robot(name), load_robot(FILES[name]["arm"].removesuffix(".yaml"))
    assert max(robot.max_speed_rad_s) <= FIRST_SPEED_RAD_S
    for limit in ("max_speed_rad_s", "max_acceleration_rad_s2"):
        for slow, full in zip(getattr(robot, limit), getattr(base, limit), strict=True):
            assert slow <= SHARE * full, limit
    assert robot.gripper_speed_m_s <= 0.05
    assert 0.0 < robot.gripper_squeeze_m <= 0.005
    assert robot.table_clearance_m >= 0.01
    assert robot.workspace_lower_m[2] >= 0.03
    assert all(
        own >= whole
        for own, whole in zip(robot.workspace_lower_m, base.workspace_lower_m, strict=True)
    )
    assert all(
        own <= whole
        for own, whole in zip(robot.workspace_upper_m, base.workspace_upper_m, strict=True)
    )


def test_every_file_with_a_connection_is_looked_at_and_the_simulations_stay_fast():
    assert set(METAL) == {
        "panda_ros2_control",
        "so101_serial",
        "ur5e_ros2_control",
        "wx250s_ros2_control",
        "wx250s_serial",
    }
    assert load_robot("so101").max_speed_rad_s == (4.0,) * 5, "the simulation's"


@pytest.mark.parametrize("name", SIMULATED)
def test_a_fast_file_with_servos_refuses_a_real_port(name, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    bus = load_bus(name)
    assert port_path("", bus) == port_path("sim", bus)
    assert port_path("", bus).name.endswith("-7")
    with pytest.raises(ConfigError, match="for simulated servos only"):
        port_path("/dev/ttyUSB0", bus)


def test_a_bus_like_anothers_is_that_one_with_its_own_fields(tmp_path):
    assert load_bus("wx250s_serial_sim").servos == load_bus("wx250s_serial").servos
    arm = tmp_path / "arm.yaml"
    arm.write_text(
        f"arm: {ROBOTS_DIR / 'wx250s.yaml'}\nbus: {{like: {ROBOTS_DIR / 'wx250s.yaml'}}}\n"
    )
    with pytest.raises(ConfigError, match="has no bus of its own"):
        load_bus(str(arm))
