"""The judge sees each rule broken by a motion that breaks only that one, and knows nothing of what
it judges.
"""

import ast
from pathlib import Path

import numpy as np
import pybullet
import pytest
import yaml

from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot, robot_file
from conure_ros.faults import judge as judge_package
from conure_ros.faults.judge.clearances import quaternions, segment_distance
from conure_ros.faults.judge.description import describe
from conure_ros.faults.judge.rules import (
    COAST_RAD,
    PAIR_M,
    RULES,
    CommandedMotion,
    Judge,
    Judgement,
    MeasuredMotion,
    measured_speed,
    motion_after_stop,
)

ROBOT = load_robot("wx250s")
ARM = Arm(ROBOT)
HOME = np.array(ROBOT.home_rad)
PERIOD_S, STEP_S = ROBOT.control_period_s, 0.005
UPRIGHT = np.array([0.0, -1.0, 0.5, 0.0, 0.0, 0.0])
FOLDED = np.array([0.0, -1.61, -1.37, 0.0, -1.23, 0.0])  # the gripper in the shoulder


@pytest.fixture(scope="module")
def judge():
    judge = Judge("wx250s")
    yield judge
    judge.close()


def way(start, goal, rows):
    return start + np.linspace(0.0, 1.0, rows + 1)[1:, None] * (np.asarray(goal) - start)


def told(commands, start=HOME):
    commands = np.asarray(commands)
    return CommandedMotion(np.asarray(start), commands, np.zeros(len(commands), dtype=bool))


def broken(judgement):
    return set(judgement.broken)


def test_it_takes_from_the_core_only_errors_array_types_and_the_place_of_the_robots_files():
    folder = Path(judge_package.__file__).parent
    trees = [ast.parse(path.read_text()) for path in folder.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    ours = {name for name in names if name.startswith("conure_")}
    allowed = {"conure_core", "conure_core.errors", "conure_core.types"}
    assert {name for name in ours if not name.startswith("conure_ros.faults.judge")} == allowed


@pytest.mark.parametrize("name", ["wx250s", "panda", "ur5e", "so101", "panda_ros2_control"])
def test_its_own_reading_of_the_files_agrees_with_the_robots(name):
    config = load_robot(name)
    arm, robot, rng = Arm(config), describe(name), np.random.default_rng(0)
    assert np.allclose(robot.lower_rad, arm.lower_rad) and np.allclose(
        robot.upper_rad, arm.upper_rad
    )
    assert tuple(robot.speed_rad_s) == config.max_speed_rad_s
    assert robot.settle_s == pytest.approx(config.settle_s)
    joints = rng.uniform(arm.lower_rad, arm.upper_rad, (50, len(arm.lower_rad)))
    assert np.allclose(robot.tools(joints), [arm.forward(row)[:3, 3] for row in joints], atol=1e-9)


@pytest.mark.parametrize("name", ["wx250s", "panda", "ur5e", "so101"])
def test_its_links_are_where_pybullet_puts_them(name):
    robot, rng = describe(name), np.random.default_rng(1)
    client = pybullet.connect(pybullet.DIRECT)
    body = pybullet.loadURDF(str(robot.urdf), useFixedBase=True, physicsClientId=client)
    infos = [
        pybullet.getJointInfo(body, index, physicsClientId=client)
        for index in range(pybullet.getNumJoints(body, client))
    ]
    joint_rad = rng.uniform(robot.lower_rad, robot.upper_rad)
    values = dict(zip(robot.joints, joint_rad, strict=True)) | robot.fingers
    for info in infos:
        pybullet.resetJointState(
            body, info[0], values.get(info[1].decode(), 0.0), physicsClientId=client
        )
    links = robot.link_poses(joint_rad[None])
    for info in infos:
        state = pybullet.getLinkState(
            body, info[0], computeForwardKinematics=True, physicsClientId=client
        )
        assert np.allclose(links[info[12].decode()][0, :3, 3], state[4], atol=1e-6), info[12]
    pybullet.disconnect(client)


@pytest.mark.parametrize("name", ["wx250s", "panda", "ur5e", "so101"])
def test_by_other_means_it_finds_the_collisions_that_the_arm_finds(name):
    arm, judge, rng = Arm(load_robot(name)), Judge(name), np.random.default_rng(5)
    joints = rng.uniform(arm.lower_rad, arm.upper_rad, (400, len(arm.lower_rad)))
    left_m = judge.clearances.near(joints).left_m.min(axis=1)
    collides = np.array([arm.first_collision(row) is not None for row in joints])
    assert (left_m[collides] < PAIR_M).all() and (left_m[~collides] > -PAIR_M).all()
    assert 0.1 < collides.mean() < 0.9
    judge.close()


def test_the_cheap_bound_never_exceeds_the_distance(judge):
    rng = np.random.default_rng(2)
    joints = rng.uniform(ARM.lower_rad, ARM.upper_rad, (300, 6))
    poses = judge.robot.shape_poses(joints)
    clearances = judge.clearances
    rows, columns = np.nonzero(np.ones((len(joints), len(clearances.pairs))))
    exact = clearances._distances(poses, rows, columns, 0.3).reshape(len(joints), -1)
    assert (clearances._bounds(poses) <= exact + 1e-3).all()


def test_segments_are_as_far_apart_as_their_nearest_points():
    rng = np.random.default_rng(3)
    p, q = rng.normal(size=(2, 200, 3))
    u, v = (
        axis / np.linalg.norm(axis, axis=1, keepdims=True) for axis in rng.normal(size=(2, 200, 3))
    )
    v[:20] = u[:20]
    a, b = rng.uniform(0.0, 1.5, (2, 200))
    grid = np.linspace(-1.0, 1.0, 201)
    first = p[:, None] + (grid * a[:, None])[..., None] * u[:, None]
    second = q[:, None] + (grid * b[:, None])[..., None] * v[:, None]
    found = np.array(
        [
            np.linalg.norm(x[:, None] - y[None], axis=2).min()
            for x, y in zip(first, second, strict=True)
        ]
    )
    assert (segment_distance(p, u, a, q, v, b) <= found + 1e-9).all()
    assert np.abs(segment_distance(p, u, a, q, v, b) - found).max() < 0.02


def test_quaternions_turn_back_into_their_rotations():
    rng = np.random.default_rng(4)
    rotations = np.linalg.qr(rng.normal(size=(100, 3, 3)))[0]
    rotations *= np.linalg.det(rotations)[:, None, None]
    again = [pybullet.getMatrixFromQuaternion(values) for values in quaternions(rotations)]
    assert np.allclose(np.array(again).reshape(-1, 3, 3), rotations, atol=1e-9)


def with_meshes(folder, write):
    """The WidowX, its upper arm's first box as a mesh file; returns the path of its YAML."""
    urdf = ROBOT.urdf.read_text()
    box = (
        '<collision><origin xyz="0 0 0.125"/><geometry><box size="0.045 0.06'
        ' 0.22"/></geometry></collision>'
    )
    mesh = (
        '<collision><origin xyz="0 0 0.105"/><geometry><mesh filename="box" scale="0.5 1'
        ' 1"/></geometry></collision>'
    )
    assert urdf.count(box) == 1
    corners = np.array(
        [[x, y, z] for x in (-0.045, 0.045) for y in (-0.03, 0.03) for z in (-0.09, 0.13)]
    )
    name = write(folder, corners)
    (folder / "arm.urdf").write_text(urdf.replace(box, mesh.replace('"box"', f'"{name}"')))
    fields = yaml.safe_load(robot_file("wx250s").read_text()) | {"urdf": "arm.urdf"}
    (folder / "arm.yaml").write_text(yaml.safe_dump(fields))
    return str(folder / "arm.yaml")


def obj(folder, corners):
    (folder / "box.obj").write_text("".join(f"v {x} {y} {z}\n" for x, y, z in corners))
    return "box.obj"


def stl(folder, corners):
    triangles = np.zeros(6, [("normal", "<f4", 3), ("points", "<f4", (3, 3)), ("attribute", "<u2")])
    triangles["points"] = corners[
        [[0, 1, 2], [3, 4, 5], [6, 7, 0], [1, 3, 5], [2, 4, 6], [7, 5, 3]]
    ]
    (folder / "box.stl").write_bytes(
        bytes(80) + len(triangles).to_bytes(4, "little") + triangles.tobytes()
    )
    return "box.stl"


def packaged(folder, corners):
    (folder / "arm description").mkdir()
    return f"package://arm description/{obj(folder / 'arm description', corners)}"


@pytest.mark.parametrize("write", [obj, stl, packaged])
def test_a_mesh_is_as_near_as_the_box_that_it_is(judge, tmp_path, write):
    other = Judge(with_meshes(tmp_path, write))
    joints = np.random.default_rng(6).uniform(ARM.lower_rad, ARM.upper_rad, (200, 6))
    one, two = (one.clearances.near(joints).left_m for one in (judge, other))
    both = np.isfinite(one) & np.isfinite(two)
    assert both.any() and np.abs(one[both] - two[both]).max() < 3e-3
    assert ((one < -PAIR_M) == (two < -PAIR_M)).mean() > 0.999
    other.close()


def test_a_shape_that_the_judge_cannot_read_is_refused_by_name(tmp_path):
    def nothing(folder, corners):
        (folder / "box.obj").write_text("v 0 0 zero\n")
        return "box.obj"

    with pytest.raises(ConfigError, match=r"box\.obj: expected an OBJ or STL mesh"):
        describe(with_meshes(tmp_path, nothing))


# Commands.


def test_an_arm_that_stays_or_goes_gently_keeps_every_rule(judge):
    commands = way(HOME, HOME + [0.2, 0.05, -0.05, 0.1, 0.0, 0.3], 10)
    judgement = judge.judge_commands(told(commands))
    assert judgement.kept and judgement.rows == 10
    assert judge.judge_commands(told(np.tile(HOME, (3, 1)))).kept


def test_nothing_told_and_nothing_seen_proves_nothing_and_says_so(judge):
    assert (
        judge.judge_commands(told(np.empty((0, 6)))).rows
        == judge.judge_motion(MeasuredMotion(np.empty(0), np.empty((0, 6)))).rows
        == 0
    )


def test_a_command_that_is_not_finite_is_seen(judge):
    assert broken(judge.judge_commands(told([HOME, HOME * np.nan]))) == {"not_finite"}


def test_a_command_beyond_a_joint_limit_is_seen(judge):
    start = HOME.copy()
    start[5] = ARM.upper_rad[5] - 0.05
    judgement = judge.judge_commands(told(way(start, start + [0, 0, 0, 0, 0, 0.1], 5), start))
    assert broken(judgement) == {"position_rad"}
    assert judgement.worst == ("limit of wrist_rotate",)


def test_a_command_that_is_too_fast_is_seen(judge):
    # Up to speed in steps that each are allowed, and beyond it.
    speeds = np.array([2.0, 3.2])
    commands = HOME + np.cumsum(speeds)[:, None] * ROBOT.settle_s * np.eye(6)[5]
    assert broken(judge.judge_commands(told(commands))) == {"speed"}


def test_a_speed_that_changes_too_fast_is_seen_but_not_where_the_arm_held_before(judge):
    step = 0.21 * np.eye(6)[5]
    there = told([HOME + step, HOME, HOME + step])
    assert judge.judge_commands(there).kept
    assert broken(judge.judge_commands(there, acceleration_scale=0.5)) == {"acceleration"}
    rested = CommandedMotion(HOME, there.commands_rad, np.array([True, True, True]))
    assert judge.judge_commands(rested, acceleration_scale=0.5).kept


def test_a_tool_that_leaves_its_box_is_seen(judge):
    commands = way(HOME, HOME + [0.9, 0.0, 0.0, 0.0, 0.0, 0.0], 80)
    assert broken(judge.judge_commands(told(commands))) == {"box_m"}


def in_a_large_box(monkeypatch, judge):
    monkeypatch.setattr(judge.robot, "box_m", np.array([[-9.0] * 3, [9.0] * 3]))


def test_two_parts_that_come_too_near_each_other_are_seen(judge, monkeypatch):
    in_a_large_box(monkeypatch, judge)
    judgement = judge.judge_commands(told(way(UPRIGHT, FOLDED, 200), UPRIGHT))
    assert broken(judgement) == {"pair_m"}, judgement
    assert judgement.distances_measured > 0


def test_a_part_that_comes_too_near_the_table_is_seen(judge, monkeypatch):
    in_a_large_box(monkeypatch, judge)
    judgement = judge.judge_commands(told(way(HOME, HOME + [0.0, 1.2, 0.0, 0.0, 0.0, 0.0], 80)))
    assert broken(judgement) == {"table_m"}, judgement
    assert all(name.endswith("table") for name in judgement.worst)


GOOD = {"position_rad": HOME, "box_m": HOME, "pair_m": UPRIGHT, "table_m": HOME}
BAD = {
    "position_rad": np.array([*HOME[:5], ARM.upper_rad[5] + 0.2]),
    "box_m": HOME + [0.9, 0.0, 0.0, 0.0, 0.0, 0.0],
    "pair_m": FOLDED,
    "table_m": HOME + [0.0, 1.2, 0.0, 0.0, 0.0, 0.0],
}


def worse(rule):
    """A pose that breaks the rule further."""
    away = BAD[rule] - GOOD[rule]
    return BAD[rule] + 0.1 * np.sign(away) * (np.abs(away) > 1e-6)


@pytest.mark.parametrize("rule", BAD)
def test_out_of_a_pose_that_breaks_a_rule_a_slow_way_is_right_and_further_into_it_is_wrong(
    judge, monkeypatch, rule
):
    if rule != "box_m":
        in_a_large_box(monkeypatch, judge)
    assert judge.is_violating(BAD[rule])
    out = judge.judge_commands(told(way(BAD[rule], GOOD[rule], 200), BAD[rule]))
    assert out.kept, out
    stay = judge.judge_commands(told(np.tile(BAD[rule], (3, 1)), BAD[rule]))
    assert stay.kept
    into = judge.judge_commands(told(way(BAD[rule], worse(rule), 40), BAD[rule]))
    assert broken(into) == {rule}, into


@pytest.mark.parametrize("rule", BAD)
def test_a_way_out_that_turns_back_is_wrong(judge, monkeypatch, rule):
    if rule != "box_m":
        in_a_large_box(monkeypatch, judge)
    half = way(BAD[rule], GOOD[rule], 200)[:40]
    there_and_back = np.vstack([half, half[::-1]])
    assert broken(judge.judge_commands(told(there_and_back, BAD[rule]))) == {rule}


@pytest.mark.parametrize("rule", BAD)
def test_a_fast_way_out_is_wrong(judge, monkeypatch, rule):
    if rule != "box_m":
        in_a_large_box(monkeypatch, judge)
    assert broken(judge.judge_commands(told(way(BAD[rule], GOOD[rule], 20), BAD[rule]))) == {
        "speed"
    }


# Joints.


def seen(joints):
    joints = np.asarray(joints)
    return MeasuredMotion(np.arange(len(joints)) * STEP_S, joints)


@pytest.mark.parametrize("rule", BAD)
def test_joints_that_go_where_they_may_not_are_seen(judge, monkeypatch, rule):
    if rule != "box_m":
        in_a_large_box(monkeypatch, judge)
    there = seen(way(GOOD[rule], BAD[rule], 600))
    assert broken(judge.judge_motion(there)) == {rule}
    assert judge.judge_motion(seen(there.joint_rad[::-1])).kept


def test_a_joint_that_is_faster_than_its_limit_by_more_than_5_percent_is_seen(judge):
    def turning(speed):
        return seen(HOME + np.outer(np.arange(60) * STEP_S, speed * np.eye(6)[5]))

    assert judge.judge_motion(turning(1.04 * ROBOT.max_speed_rad_s[5])).kept
    assert broken(judge.judge_motion(turning(1.06 * ROBOT.max_speed_rad_s[5]))) == {"speed"}
    assert judge.judge_motion(
        turning(1.06 * ROBOT.max_speed_rad_s[5]), speed_rad_s=np.full(6, 3.3)
    ).kept


def test_a_speed_is_taken_over_its_window_also_where_times_are_sums_of_steps():
    """Every other step moves: over two of them the speed is 1 rad/s, over three it would be 4/3."""
    times = 100.0 + np.cumsum(np.full(4000, 0.005))
    angles = np.repeat(np.arange(2000) * 0.01, 2)[:, None]
    speeds = measured_speed(MeasuredMotion(times, angles), window_s=0.01)
    assert speeds.max() == pytest.approx(1.0, rel=1e-6)


def test_a_jump_between_two_samples_is_a_speed(judge):
    jump = np.vstack([np.tile(HOME, (5, 1)), np.tile(HOME + 0.1 * np.eye(6)[5], (5, 1))])
    assert broken(judge.judge_motion(seen(jump))) == {"speed"}
    assert measured_speed(seen(jump)).max() == pytest.approx(0.1 / STEP_S)
    assert measured_speed(seen(jump), window_s=0.04).max() < 3.0


def test_a_sample_that_is_not_finite_is_seen(judge):
    assert broken(judge.judge_motion(seen([HOME, HOME + np.inf]))) == {"not_finite"}


# Stops.


def slowing(speed_rad_s, lag_s, tail_s=1.0, drift_rad_s=0.0):
    """An arm that turns at a speed, is stopped at 0.5 s and settles with a lag."""
    times = np.arange(0.0, 0.5 + tail_s, STEP_S)
    after = np.maximum(times - 0.5, 0.0)
    turned = (
        speed_rad_s * (np.minimum(times, 0.5) + lag_s * (1 - np.exp(-after / lag_s)))
        + drift_rad_s * after
    )
    return MeasuredMotion(times, HOME + np.outer(turned, np.eye(6)[5]))


ACCELERATION = np.array(ROBOT.max_acceleration_rad_s2)


def test_an_arm_that_settles_after_a_stop_has_stopped():
    for speed in (0.0, 0.3, 3.0):
        motion = motion_after_stop(slowing(speed, 0.03), 0.5, 1.5, ACCELERATION)
        assert motion.kept, motion


def test_an_arm_that_goes_on_after_a_stop_is_seen():
    goes_on = MeasuredMotion(slowing(0.8, 0.03).times_s - 0.3, slowing(0.8, 0.03).joint_rad)
    motion = motion_after_stop(goes_on, 0.0, 1.1, ACCELERATION)
    assert not motion.kept
    assert motion.late_rad > motion.braking_rad + COAST_RAD
    assert motion.stopped_rad < 1e-3, "it broke only one of the two rules"
    assert 0.15 < motion.ended_s < 0.4


def test_an_arm_may_brake_as_slowly_as_its_acceleration_and_no_slower():
    speed_rad_s, slow_rad_s2 = 2.0, 10.0
    times = np.arange(0.0, 1.5, STEP_S)
    braking_s = np.clip(times - 0.5, 0.0, speed_rad_s / slow_rad_s2)
    turned = speed_rad_s * (np.minimum(times, 0.5) + braking_s) - slow_rad_s2 * braking_s**2 / 2
    braked = MeasuredMotion(times, HOME + np.outer(turned, np.eye(6)[5]))
    assert motion_after_stop(braked, 0.5, 1.5, np.full(6, slow_rad_s2)).kept
    assert not motion_after_stop(braked, 0.5, 1.5, np.full(6, 6 * slow_rad_s2)).kept
    assert motion_after_stop(braked, 0.5, 1.5, np.full(6, 6 * slow_rad_s2), stop_s=0.2).kept


def test_an_arm_that_creeps_while_it_is_stopped_is_seen():
    motion = motion_after_stop(slowing(0.0, 0.03, drift_rad_s=0.012), 0.5, 1.5, ACCELERATION)
    assert not motion.kept
    assert motion.late_rad <= motion.braking_rad + COAST_RAD


def test_a_stop_that_was_not_watched_long_enough_is_not_judged():
    with pytest.raises(ValueError, match="reset too early"):
        motion_after_stop(slowing(0.3, 0.03, tail_s=0.2), 0.5, 0.7, ACCELERATION)


def test_judgements_join_to_the_worst_of_each():
    one, other = (
        Judgement(rows=1, speed=0.1, box_m=-1.0),
        Judgement(rows=2, box_m=0.2, worst=("box",)),
    )
    joined = one.merge(other)
    assert (joined.rows, joined.speed, joined.box_m, joined.worst) == (3, 0.1, 0.2, ("box",))
    assert broken(joined) == {"speed", "box_m"} <= set(RULES)


def test_one_sample_alone_shows_no_motion_and_breaks_nothing(judge):
    assert judge.judge_motion(MeasuredMotion(np.zeros(1), judge.robot.home_rad[None])).kept
