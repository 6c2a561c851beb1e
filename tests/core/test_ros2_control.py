"""The section `ros2_control` of a robot's file: which controller is told which joints."""

import pytest
import yaml

from conure_core.errors import ConfigError
from conure_core.robot.description import ROBOTS_DIR, load_robot, robot_file
from conure_core.robot.ros2_control import Ros2ControlConfig, joint_order, load_ros2_control

ROBOT = load_robot("wx250s")
BACKWARDS = ROBOT.joint_names[::-1]
EXAMPLES = ("wx250s_ros2_control", "ur5e_ros2_control", "panda_ros2_control")


def written(folder, **section):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"arm": str(robot_file("wx250s")), "ros2_control": section}))
    return str(path)


def test_positions_are_ordered_by_name():
    names = ROBOT.command_names
    assert joint_order(ROBOT, Ros2ControlConfig().arm_joints(ROBOT)) == list(range(len(names)))
    wanted = Ros2ControlConfig(joints=BACKWARDS).arm_joints(ROBOT)
    assert [names[index] for index in joint_order(ROBOT, wanted)] == list(BACKWARDS)


def test_a_gripper_with_its_own_controller_is_left_out_of_the_arms():
    config = Ros2ControlConfig(gripper_topic="hand/joint_trajectory")
    assert config.arm_joints(ROBOT) == ROBOT.joint_names


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"output": "velocity"}, "unknown output 'velocity'"),
        ({"topics": "x"}, "did you mean 'topic'"),
        ({"joints": ["elbo", *ROBOT.joint_names[1:]]}, "did you mean 'elbow'"),
        ({"joints": list(ROBOT.joint_names[:-1])}, "every joint of wx250s once"),
        ({"joints": [*ROBOT.joint_names, "waist"]}, "every joint of wx250s once"),
        ({"joints": list(ROBOT.command_names), "gripper_topic": "hand"}, "leave one out"),
        ({"topic": 3}, "topic must be a text"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_key(tmp_path, section, expected):
    with pytest.raises(ConfigError, match=expected) as raised:
        load_ros2_control(written(tmp_path, **section))
    assert "mine.yaml: ros2_control" in str(raised.value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_the_same_robot_to_a_bundle_and_slower_tighter_in_every_limit(name):
    real, simulated = load_robot(name), load_robot(name.removesuffix("_ros2_control"))
    assert real.contract(48) == simulated.contract(48)
    assert max(real.max_speed_rad_s) < 0.2 * max(simulated.max_speed_rad_s)
    for field in ("max_speed_rad_s", "max_acceleration_rad_s2", "workspace_upper_m"):
        assert all(
            a < b for a, b in zip(getattr(real, field), getattr(simulated, field), strict=True)
        ), field
    assert all(
        a >= b for a, b in zip(real.workspace_lower_m, simulated.workspace_lower_m, strict=True)
    )
    assert real.gripper_squeeze_m > 0 and real.table_clearance_m > simulated.table_clearance_m
    assert load_ros2_control(name).gripper_topic


def test_a_robot_without_the_section_has_the_topics_of_the_graph():
    assert load_ros2_control("panda").arm_topic == "joint_trajectory"
    assert load_ros2_control("so101") == Ros2ControlConfig()
    assert Ros2ControlConfig("positions").arm_topic == "position_commands"


def test_every_shipped_robot_loads():
    for path in ROBOTS_DIR.glob("*.yaml"):
        load_robot(path.stem)
        load_ros2_control(path.stem)
