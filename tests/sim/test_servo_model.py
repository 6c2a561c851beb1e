"""Measured servos: they droop, saturate, lag, stick and have play, and the default has none of it."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from conure_calibration.benchmarks.motion_cases import ENCODER_RAD, draw_motion
from conure_calibration.dynamics.fit import Recorded, fit_servo
from conure_core.errors import ConfigError
from conure_core.robot.description import ROBOTS_DIR, load_robot
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.physics.arm_simulation import load_arm_simulation, table_camera
from conure_sim.physics.bullet_world import BulletWorld
from conure_sim.physics.servo_model import Servo
from conure_sim.physics.world import PHYSICS_HZ
from conure_sim.randomization.dynamics import SERVO_FACTORS, Dynamics
from conure_sim.randomization.factors import find_randomization

ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)
JOINTS = len(HOME)
WAIST = 0
ELBOW = 2
SERVO = Servo(
    stiffness_nm_rad=60.0, damping_nm_s_rad=4.0, limit_nm=12.0, coulomb_nm=0.2, armature_kg_m2=0.1
)
STILL = np.zeros(JOINTS)


@pytest.fixture
def world_of():
    worlds = []

    def make(**changes):
        servo = replace(SERVO, **changes)
        simulation = load_arm_simulation("wx250s")
        measured = replace(simulation, servo="measured", servos=(servo,) * JOINTS)
        world = BulletWorld(ROBOT, table_camera(48), measured)
        worlds.append(world)
        world.reset(HOME, ROBOT.gripper_open_m)
        return world

    yield make
    for world in worlds:
        world.close()


def link_rad(world):
    """The true angles, which no encoder measures."""
    return np.array([world.client.getJointState(world.body, j)[0] for j in world.driven[:JOINTS]])


def moved(joint, by_rad):
    command = HOME.copy()
    command[joint] += by_rad
    return command


def test_it_droops_by_its_load_over_its_stiffness(world_of):
    world = world_of(coulomb_nm=0.0)
    world.advance(3.0)
    angles = world.joint_state().joint_rad
    load = world.arm.inverse_dynamics(angles, STILL, STILL)
    assert angles - HOME == pytest.approx(-load / SERVO.stiffness_nm_rad, abs=2e-4)
    assert np.abs(angles - HOME).max() > np.radians(1.0)


def test_what_pulls_at_the_tool_bends_it_by_its_stiffness(world_of):
    world = world_of(coulomb_nm=0.0)
    world.advance(2.0)
    before = world.joint_state().joint_rad
    tool = world._links[ROBOT.tool_frame]
    for _ in range(2 * PHYSICS_HZ):
        place = world.link_pose(ROBOT.tool_frame)[:3, 3].tolist()
        world.client.applyExternalForce(world.body, tool, [0, 0, -5.0], place, 2)
        world.advance_steps(1)
    angles = world.joint_state().joint_rad
    torque = world.arm.jacobian(angles)[:3].T @ [0.0, 0.0, -5.0]
    load = world.arm.inverse_dynamics(angles, STILL, STILL)
    assert angles - HOME == pytest.approx((torque - load) / SERVO.stiffness_nm_rad, abs=3e-3)
    assert np.abs(angles - before).max() > np.radians(1.0)


def test_friction_holds_it_within_its_dead_band(world_of):
    world = world_of(coulomb_nm=1.0)
    world.advance(1.0)
    rest = world.joint_state().joint_rad
    band = 1.0 / SERVO.stiffness_nm_rad
    world.follow(moved(0, 0.9 * band), ROBOT.gripper_open_m, 0.1)
    world.advance(1.0)
    assert world.joint_state().joint_rad == pytest.approx(rest, abs=2e-5)
    world.follow(moved(0, 2.0 * band), ROBOT.gripper_open_m, 0.1)
    world.advance(1.0)
    assert world.joint_state().joint_rad[0] - rest[0] == pytest.approx(band, rel=0.2)


def test_it_saturates(world_of):
    limit_nm = 1.0
    world = world_of(limit_nm=limit_nm, coulomb_nm=0.0, damping_nm_s_rad=0.0)
    world.follow(moved(0, 1.0), ROBOT.gripper_open_m, 0.0)
    world.advance(0.1)
    inertia = world.arm.inertia(HOME)[0, 0] + SERVO.armature_kg_m2
    turned = world.joint_state().joint_rad[0]
    assert turned == pytest.approx(limit_nm / inertia * 0.1**2 / 2, rel=0.1)


def test_a_weak_arm_falls(world_of):
    world = world_of(limit_nm=0.5)
    world.advance(1.0)
    assert world.joint_state().joint_rad[1] - HOME[1] > 0.2


def test_a_command_acts_after_its_delay(world_of):
    world = world_of(delay_s=0.1, coulomb_nm=0.0)
    world.advance(2.0)
    rest = world.joint_state().joint_rad[0]
    world.follow(moved(0, 0.3), ROBOT.gripper_open_m, 0.0)
    world.advance(0.095)
    assert world.joint_state().joint_rad[0] == pytest.approx(rest, abs=1e-5)
    world.advance(0.02)
    assert world.joint_state().joint_rad[0] - rest > 1e-4


def test_a_gear_with_play_leaves_the_link_behind_its_encoder(world_of):
    play_rad = np.radians(1.0)
    world = world_of(backlash_rad=play_rad)
    behind = []
    for goal in (0.2, -0.2):
        world.follow(moved(0, goal), ROBOT.gripper_open_m, 0.5)
        world.advance(2.0)
        behind.append(world.joint_state().joint_rad[0] - link_rad(world)[0])
    assert behind == pytest.approx([play_rad / 2, -play_rad / 2], abs=2e-4)
    # Gravity presses the elbow's link to one side.
    load = world.arm.inverse_dynamics(HOME, STILL, STILL)[ELBOW]
    away = world.joint_state().joint_rad[ELBOW] - link_rad(world)[ELBOW]
    assert away == pytest.approx(np.sign(load) * play_rad / 2, abs=2e-4)


def test_it_presses_on_the_table_with_its_torque(world_of):
    world = world_of(coulomb_nm=0.0)
    pose = world.arm.forward(HOME)
    pose[2, 3] = 0.03
    above = world.arm.solve(pose, HOME, iterations=30)
    pose[2, 3] = -0.02
    below = world.arm.solve(pose, HOME, iterations=30)
    world.reset(above, ROBOT.gripper_open_m)
    world.follow(below, ROBOT.gripper_open_m, 1.0)
    world.advance(3.0)
    contacts = world.client.getContactPoints(world.body, world.table)
    angles = link_rad(world)
    # The servos' torques less the arm's own weight are what the contact takes.
    spare = SERVO.stiffness_nm_rad * (below - angles)
    spare = spare - world.arm.inverse_dynamics(angles, STILL, STILL)
    pressing_n = np.linalg.lstsq(world.arm.jacobian(angles).T, -spare, rcond=None)[0][2]
    assert sum(point[9] for point in contacts) == pytest.approx(pressing_n, rel=0.15)
    assert pressing_n > 5.0


def test_without_power_it_falls_freely(world_of):
    world = world_of()
    powered = np.ones(len(world.driven), dtype=bool)
    powered[:JOINTS] = False
    world.power(powered)
    world.advance(0.3)
    assert np.abs(world.joint_state().joint_rad - HOME).max() > 0.3


@pytest.fixture(scope="module")
def measured_arm(tmp_path_factory):
    """A robot's file with measured servos, which have delay and play."""
    folder = tmp_path_factory.mktemp("arm")
    (folder / "my.yaml").write_text(f"arm: {ROBOTS_DIR / 'wx250s.yaml'}\n")
    servo = vars(replace(SERVO, delay_s=0.02, backlash_rad=0.01))
    fields = {"arm": "wx250s", "servo": "measured", "servos": [servo] * JOINTS}
    (folder / "my.sim.yaml").write_text(yaml.safe_dump(fields))
    return str(folder / "my.yaml")


@pytest.mark.parametrize("way", ["state", "snapshot"])
def test_a_saved_moment_is_restored_with_motors_and_commands_under_way(measured_arm, way):
    env = TabletopEnv(arm=measured_arm, images=False, distractors=0)
    other = TabletopEnv(arm=measured_arm, images=False, distractors=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (8, 7))
    env.reset(seed=1)
    for action in actions[:4]:
        env.step(action)
    saved = getattr(env, f"save_{way}")()
    first = [env.step(action)[0]["proprio"] for action in actions[4:]]
    getattr(other, f"restore_{way}")(saved)
    again = [other.step(action)[0]["proprio"] for action in actions[4:]]
    assert np.array_equal(first, again)
    env.close()
    other.close()


def test_a_file_begins_with_another_arms_simulation(measured_arm):
    simulation = load_arm_simulation(measured_arm)
    assert simulation.servo == "measured" and len(simulation.servos) == JOINTS
    plain = load_arm_simulation("wx250s")
    assert replace(simulation, servo="ideal", servos=plain.servos) == plain


@pytest.mark.parametrize("arm", ["wx250s", "so101"])
def test_servos_from_data_sheets_hold_the_arm_up_and_droop(arm, tmp_path):
    (tmp_path / "my.yaml").write_text(f"arm: {ROBOTS_DIR / arm}.yaml\n")
    (tmp_path / "my.sim.yaml").write_text(f"arm: {arm}\nservo: measured\n")
    env = TabletopEnv(arm=str(tmp_path / "my.yaml"), images=False, distractors=0)
    env.reset(seed=0)
    for _ in range(10):
        env.step(np.zeros(env.action_space.shape))
    behind = np.abs(env.world.joint_state().joint_rad - np.array(load_robot(arm).home_rad))
    assert 0.005 < behind.max() < 0.1
    env.close()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("arm: ur5e\nservo: measured\n", "servo: measured needs servos"),
        ("arm: wx250s\nservo: soft\n", "unknown servo 'soft'"),
        (
            "arm: wx250s\nservos: [{stiffness_nm_rad: 1.0, damping_nm_s_rad: 0.0, limit_nm: 1.0}]\n",
            "servos needs 6 entries, a joint of 'wx250s' each, got 1",
        ),
        (
            "arm: wx250s\nservos: [{stiffness_nm_rad: -1.0, damping_nm_s_rad: 0.0, limit_nm: 1.0}]\n",
            "stiffness_nm_rad must be in",
        ),
        ("arm: wx251\n", "unknown robot 'wx251'"),
        ("arm: 3\n", "arm must be a robot's name or path, got 3"),
        ("arm: bad.yaml\n", "begins with another one"),
    ],
)  # fmt: skip
def test_a_wrong_servo_is_refused_in_a_line(fields, reason, tmp_path):
    (tmp_path / "bad.yaml").write_text(f"arm: {ROBOTS_DIR / 'wx250s.yaml'}\n")
    (tmp_path / "bad.sim.yaml").write_text(fields)
    with pytest.raises(ConfigError, match=reason) as refused:
        load_arm_simulation(str(tmp_path / "bad.yaml"))
    assert "\n" not in str(refused.value)


def test_a_spring_too_stiff_for_its_inertia_is_refused(world_of):
    with pytest.raises(ConfigError, match="servo of forearm_roll: stiffness_nm_rad 1000"):
        world_of(stiffness_nm_rad=1000.0, armature_kg_m2=0.0)


def test_every_servo_has_factors_of_its_own():
    ranges = dict.fromkeys(SERVO_FACTORS.values(), (0.5, 0.9))
    drawn = find_randomization(ranges).sample(np.random.default_rng(0)).dynamics
    for joint in range(JOINTS):
        scaled = SERVO.scaled(drawn, joint)
        for field in SERVO_FACTORS:
            assert getattr(scaled, field) <= 0.9 * getattr(SERVO, field), field
    assert len(set(drawn.servo_stiffness_scale)) > 1
    assert SERVO.scaled(Dynamics(), 0) == SERVO


def test_what_it_measures_is_fitted_to_a_tenth_of_a_degree(world_of):
    world = world_of(delay_s=0.02)
    _, command = draw_motion(np.random.default_rng(0), seconds=6.0)
    command = np.clip(command, -0.6, 0.6)  # other joints hardly yield to the waist's torque
    world.reset(moved(WAIST, command[0]), ROBOT.gripper_open_m)
    angles = []
    for goal in command:
        angles.append(world.joint_state().joint_rad[WAIST])
        world.follow(moved(WAIST, goal), ROBOT.gripper_open_m, 0.0)
        world.advance_steps(2 if len(angles) % 5 else 4)
    steps = [2 if index % 5 else 4 for index in range(1, len(command) + 1)]
    times = np.concatenate([[0.0], np.cumsum(steps)[:-1]]) / PHYSICS_HZ
    measured = np.rint(np.array(angles) / ENCODER_RAD) * ENCODER_RAD
    fit = fit_servo(Recorded(times, HOME[WAIST] + command, times, measured))
    assert np.degrees(fit.held_out_rad) < 0.1
    inertia = world.arm.inertia(HOME)[WAIST, WAIST] + SERVO.armature_kg_m2
    assert fit.servo.stiffness * inertia == pytest.approx(SERVO.stiffness_nm_rad, rel=0.1)
    assert fit.servo.delay_s == pytest.approx(0.02, abs=0.006)
