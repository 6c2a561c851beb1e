"""A robot's file makes sense, or it is refused by file and key: what loads, moves."""

import math
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conure_core.config.yaml_fields import bounds_of
from conure_core.control.loop import ControlLoop
from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.robot.description import ROBOTS_DIR, RobotConfig, load_robot
from conure_core.robot.ros2_control import Ros2ControlConfig, load_ros2_control
from conure_core.servos.bus_config import BusConfig, ServoConfig, load_bus
from conure_core.servos.scale import ServoScale

ROBOTS = sorted(path.stem for path in ROBOTS_DIR.glob("*.yaml"))
HINTS = get_type_hints(RobotConfig)
NUMBERS = [name for name, hint in HINTS.items() if "float" in str(hint)]
TEXTS = [
    "joint_names",
    "gripper_joint",
    "gripper_mimic",
    "base_frame",
    "tool_frame",
    "name",
    "urdf",
]
WRONG = st.one_of(
    st.sampled_from(
        [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e9, -1e9, 1e-9, 1e308, 5e-324, 10**400]
    ),
    st.sampled_from([True, None, "fast", "", [], {}, [[1.0]], {"a": 1}, "2026-01-01"]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-10, 10),
    st.integers(-5, 5),
)


def data_of(name: str) -> dict[str, Any]:
    """A robot's file with absolute paths."""
    data = yaml.safe_load((ROBOTS_DIR / f"{name}.yaml").read_text())
    for key in ("urdf", "arm"):
        if key in data:
            data[key] = str(ROBOTS_DIR / data[key])
    return data


def written(folder: Path, data: dict[str, Any]) -> str:
    load_robot.cache_clear()
    load_bus.cache_clear()
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


def refused(folder: Path, message: str, base: str = "wx250s", **changes: Any) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        Arm(load_robot(written(folder, {**data_of(base), **changes})))
    assert "wx250s" in str(raised.value) or "mine." in str(raised.value)
    assert "\n" not in str(raised.value)


def move(arm: Arm, seed: int, steps: int = 20) -> None:
    """Random actions; nothing may be raised, and nothing is commanded that is no number or outside
    the limits.
    """
    rng, loop = np.random.default_rng(seed), ControlLoop(arm)
    measured = loop.reset(np.array(arm.config.home_rad), arm.config.gripper_open_m).joint_rad
    for _ in range(steps):
        command = loop.step(rng.uniform(-1, 1, 7), measured, 0.0, arm.config.gripper_open_m)
        measured = command.joint_rad
        assert (
            np.isfinite(measured).all()
            and math.isfinite(command.gripper_m)
            and command.duration_s > 0
        )
        assert (measured >= arm.lower_rad - 1e-9).all() and (measured <= arm.upper_rad + 1e-9).all()
        assert np.isfinite(loop.executed_action(measured, command)).all()


# --- any value of any key
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROBOTS)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_number_of_a_robot_file_is_refused_by_key_or_lets_the_arm_move(tmp_path, name, data):
    key, wrong = data.draw(st.sampled_from(NUMBERS), "key"), data.draw(WRONG, "value")
    value: Any = wrong
    if "tuple" in str(HINTS[key]) and data.draw(st.booleans(), "within the list"):
        value = list(getattr(load_robot(name), key))
        value[data.draw(st.integers(0, len(value) - 1), "item")] = wrong
    try:
        arm = Arm(load_robot(written(tmp_path, {**data_of(name), key: value})))
    except ConfigError as error:
        assert key in str(error)
    else:
        move(arm, seed=0)


@pytest.mark.parametrize("name", ROBOTS)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_name_in_a_robot_file_is_refused_by_key_or_lets_the_arm_move(tmp_path, name, data):
    given_data = data_of(name)
    known = [
        *load_robot(name).command_names,
        load_robot(name).base_frame,
        load_robot(name).tool_frame,
        "",
        "x'y",
        "a\0b",
    ]
    word = st.one_of(
        st.sampled_from(known), st.text(max_size=5), st.none(), st.integers(), st.just(math.nan)
    )
    key = data.draw(st.sampled_from(TEXTS), "key")
    given_data[key] = data.draw(st.one_of(word, st.lists(word, max_size=7)), "value")
    try:
        arm = Arm(load_robot(written(tmp_path, given_data)))
    except ConfigError as error:
        assert key in str(error) or "URDF" in str(error)
    else:
        move(arm, seed=0)


BUSES = {"so101_serial": load_bus("so101_serial"), "wx250s_serial": load_bus("wx250s_serial")}


@pytest.mark.parametrize("name", BUSES)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_value_of_a_bus_is_refused_by_key_or_makes_counts_of_positions(tmp_path, name, data):
    whole = data_of(name)
    target = data.draw(st.sampled_from([whole["bus"], *whole["bus"]["servos"]]), "of")
    schema = BusConfig if target is whole["bus"] else ServoConfig
    key = data.draw(st.sampled_from([field.name for field in fields(schema)]), "key")
    target[key] = data.draw(WRONG, "value")
    path = written(tmp_path, whole)
    try:
        bus, robot = load_bus(path), load_robot(path)
        scale = ServoScale(bus, robot)
    except ConfigError as error:
        assert key.removesuffix("_m") in str(error) or "servo" in str(error)
    else:
        assert np.isfinite(scale.positions(scale.counts((scale.lower + scale.upper) / 2))).all()
        assert all(bus.settings(servo) for servo in bus.servos) and bus.period_s > 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_value_of_the_section_ros2_control_is_refused_by_key_or_names_topics(tmp_path, data):
    key = data.draw(st.sampled_from([field.name for field in fields(Ros2ControlConfig)]), "key")
    value = data.draw(
        st.one_of(WRONG, st.text(max_size=5), st.just("a b"), st.just("joint_trajectory")), "value"
    )
    section = {"ros2_control": data.draw(st.sampled_from([{key: value}, value]), "section")}
    try:
        config = load_ros2_control(written(tmp_path, {**data_of("wx250s"), **section}))
    except ConfigError as error:
        assert "ros2_control" in str(error)
    else:
        assert config.arm_topic and config.arm_joints(load_robot("wx250s"))


def test_every_number_of_a_robot_and_a_bus_has_a_range():
    """Those of the servos, `id` and `direction` apart, which are one of a few."""
    for schema in (RobotConfig, BusConfig, ServoConfig):
        numbers = {
            name
            for name, hint in get_type_hints(schema).items()
            if "float" in str(hint) or hint is int
        }
        assert numbers - {"id", "direction"} == set(bounds_of(schema))


# --- numbers that make no sense beside each other or the URDF
# ---------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"gripper_open_m": 0.015},
            "gripper_open_m and gripper_closed_m must differ by 0.001 m or more",
        ),
        (
            {"gripper_open_m": 0.04},
            r"gripper_open_m must be within the URDF's limits of left_finger, \[0.015, 0.037\]",
        ),
        ({"gripper_closed_m": 0.0}, "gripper_closed_m must be within"),
        (
            {"gripper_speed_m_s": 1.5},
            "gripper_speed_m_s must be at most the URDF's velocity limit of left_finger, 1 m/s",
        ),
        (
            {"gripper_squeeze_m": 0.03},
            "gripper_squeeze_m must be at most the stroke from closed to open, 0.022 m",
        ),
        ({"max_speed_rad_s": [1e9] * 6}, "each of max_speed_rad_s must be in"),
        (
            {"max_speed_rad_s": [3.0] * 5 + [3.2]},
            "max_speed_rad_s of wrist_rotate must be at most .* 3.14159 rad/s, got 3.2",
        ),
        ({"max_speed_rad_s": [3.0] * 5}, "max_speed_rad_s needs 6 values"),
        (
            {"max_acceleration_rad_s2": [40.0] * 5 + [0.1]},
            "max_acceleration_rad_s2 of wrist_rotate is 0.1.*300 control per",
        ),
        ({"position_margin_rad": -0.02}, "position_margin_rad must be in"),
        ({"position_margin_rad": 0.9}, "home_rad of wrist_angle must be in|position_margin_rad"),
        ({"self_collision_margin_m": -0.01}, "self_collision_margin_m must be in"),
        ({"table_clearance_m": -0.01}, "table_clearance_m must be in"),
        ({"control_period_s": 0.0}, "control_period_s must be in"),
        ({"max_translation_m": -0.02}, "max_translation_m must be in"),
        (
            {"home_rad": [0.0, -0.1015, -0.2842, 0.0, -2.14, 0.0]},
            r"home_rad of wrist_angle must be in \[-2.12675, ",
        ),
        (
            {"home_rad": [2.0, -0.1015, -0.2842, 0.0, -1.3881, 0.0]},
            "home_rad puts ee_gripper_link at .* outside the box",
        ),
        (
            {"workspace_lower_m": [0.14, 0.20, 0.014]},
            "workspace_lower_m must lie below workspace_upper_m",
        ),
        ({"table_height_m": 0.5}, "workspace_upper_m must reach above the table"),
        ({"table_height_m": 0.29}, "home_rad puts .* into the table"),
        ({"table_clearance_m": 0.25}, "home_rad brings .* nearer than table_clearance_m"),
        (
            {"joint_names": ["waist"] * 6},
            r"joint_names must name each joint of the arm once, got \['waist'\] twice",
        ),
        ({"joint_names": []}, "joint_names must name each joint of the arm once"),
        ({"gripper_joint": "waist"}, "gripper_joint must be a joint of its own, got 'waist'"),
        (
            {"gripper_mimic": "left_finger"},
            "gripper_mimic must be a joint of its own, got 'left_finger'",
        ),
        ({"gripper_mimic": "elbow"}, "gripper_mimic must be a joint of its own, got 'elbow'"),
        (
            {"gripper_joint": "left_fingr"},
            "gripper_joint: unknown joint 'left_fingr'; did you mean 'left_finger'",
        ),
        ({"gripper_joint": "ee_arm", "gripper_mimic": ""}, "gripper_joint: unknown joint 'ee_arm'"),
        ({"name": ""}, "name must be a name"),
        ({"arm": "nowhere.yaml"}, "arm: no file at"),
        ({"arm": ["wx250s.yaml"]}, "arm must be the path of another robot's file"),
        (
            {"arm": str(ROBOTS_DIR / "wx250s_serial.yaml")},
            "wx250s_serial.yaml has a field 'arm' itself",
        ),
    ],
)
def test_values_without_a_meaning_are_refused_by_file_and_key(tmp_path, changes, message):
    refused(tmp_path, message, **changes)


@pytest.mark.parametrize("named", ["circle", "a\0b", "x" * 5000, "\ud800", "pipe", "."])
@pytest.mark.parametrize("key", ["arm", "urdf", "like"])
def test_a_path_that_leads_to_no_file_is_refused_by_key_and_read_from_nowhere(tmp_path, key, named):
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    data = data_of("wx250s_serial")
    path = written(
        tmp_path, {**data, "bus": {"like": named}} if key == "like" else {**data, key: named}
    )
    with pytest.raises(ConfigError, match=f"(?i){key}") as raised:
        load_bus(path) if key == "like" else load_robot(path)
    assert "mine.yaml" in str(raised.value) or "no URDF" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_joint_left_out_is_not_taken_to_stand_still(tmp_path):
    """Poses would be right only while it does."""
    data = data_of("wx250s")
    lists = ("joint_names", "home_rad", "max_speed_rad_s", "max_acceleration_rad_s2")
    shorter = {key: data[key][:3] + data[key][4:] for key in lists}
    refused(
        tmp_path,
        r"joint_names must be the joints from base_frame to tool_frame, .*'forearm_roll'",
        **shorter,
    )
    refused(tmp_path, "joint_names must be the joints", joint_names=data["joint_names"][::-1])
    refused(
        tmp_path, "joint_names must be the joints .*'left_finger'", tool_frame="left_finger_link"
    )


def urdf_with(folder: Path, *changes: tuple[str, str]) -> str:
    text = (ROBOTS_DIR / "wx250s.urdf").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "mine.urdf"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<robot", "<robt", "is not a readable URDF"),
        ('multiplier="-1"', 'multiplier="x"', "is not a readable URDF|needs <mimic"),
        ('multiplier="-1"', 'multiplier="0"', "needs <mimic"),
        ('multiplier="-1"', 'multiplier="nan"', "is not a readable URDF|needs <mimic"),
        ('offset="0"', 'offset="0.1"', "needs <mimic"),
        ('<mimic joint="left_finger"', '<mimic joint="elbow"', "needs <mimic|not a readable URDF"),
        ('multiplier="-1"', 'multiplier="1"', "within the URDF's limits of right_finger"),
        ('lower="-1.88495559"', 'lower="1.99"', "joint 'shoulder' needs <limit>"),
        (
            'lower="-1.88495559"',
            'lower="nan"',
            "joint 'shoulder' needs <limit>|not a readable URDF",
        ),
        (
            'upper="1.98967535" velocity="3.14159265"',
            'upper="1.98967535" velocity="0"',
            "joint 'shoulder' needs <limit>",
        ),
        (
            '<box size="0.18 0.12 0.068"/>',
            '<mesh filename="package://x/base.stl"/>',
            "link 'base_link': its mesh 'package://x/base.stl' is not at",
        ),
        (
            '<box size="0.06 0.09 0.07"/>',
            '<box size="0,06 0.09 0.07"/>',
            "'shoulder_link' has 1 <collision>, of which 0",
        ),
        (
            '<box size="0.06 0.09 0.07"/>',
            '<box size="nan 0.09 0.07"/>',
            "'shoulder_link' has 1 <collision>, of which 0",
        ),
        (
            '<box size="0.06 0.09 0.07"/>',
            "<ball/>",
            "'shoulder_link' has 1 <collision>, of which 0",
        ),
        (
            '<box size="0.06 0.09 0.07"/>',
            '<box size="0.06 0.09 -0.07"/>',
            "shoulder_link_0 needs sizes above 0",
        ),
        (
            '<box size="0.06 0.09 0.07"/>',
            '<box size="0.06 0 0.07"/>',
            "shoulder_link_0 needs sizes above 0",
        ),
        (
            '<box size="0.06 0.09 0.07"/>',
            '<sphere radius="-0.03"/>',
            "shoulder_link_0 needs sizes above 0",
        ),
        ("collision>", "colision>", "no link that moves has a <collision>"),
        (
            '<axis xyz="0 0 1"/>',
            '<axis xyz="0 0 0"/>',
            "joint 'waist' needs an <axis> other than 0 0 0",
        ),
        (
            '<axis xyz="0 0 1"/>',
            '<axis xyz="0 0 1e200"/>',
            "joint 'waist' needs an <axis> other than 0 0 0",
        ),
    ],
)
def test_a_urdf_that_does_not_serve_is_refused_by_name(tmp_path, old, new, message):
    refused(tmp_path, message, urdf=urdf_with(tmp_path, (old, new)))


@pytest.mark.parametrize("kind", ["revolute", "continuous"])
@pytest.mark.parametrize(("finger", "key"), [("left", "gripper_joint"), ("right", "gripper_mimic")])
def test_a_gripper_that_turns_is_refused_with_the_remedy(tmp_path, kind, finger, key):
    urdf = urdf_with(
        tmp_path, (f'"{finger}_finger" type="prismatic"', f'"{finger}_finger" type="{kind}"')
    )
    refused(
        tmp_path,
        rf"{key} must be a prismatic joint.*{finger}_finger.*model the jaw as a joint that slides",
        urdf=urdf,
    )


def test_a_path_in_a_file_that_takes_another_is_relative_to_its_own(tmp_path):
    urdf_with(tmp_path)
    path = written(tmp_path, {"arm": str(ROBOTS_DIR / "wx250s.yaml"), "urdf": "mine.urdf"})
    assert load_robot(path).urdf == tmp_path / "mine.urdf"


@pytest.mark.parametrize(
    "changes", [{"slow_singular_value": 1.0}, {"settle_fraction": 0.1}, {"max_rotation_rad": 1.0}]
)
def test_the_ends_of_the_ranges_still_move(changes):
    move(Arm(replace(load_robot("wx250s"), **changes)), seed=1)
