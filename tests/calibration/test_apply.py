"""`conure calibrate apply`: what was measured reaches robot files, simulated camera and servos."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import yaml

from conure_calibration.apply.measured import read_measured
from conure_calibration.apply.servos import gravity_torque
from conure_calibration.intrinsics.lens import Lens, write_lens
from conure_calibration.results.result import Quantity, Verdict, new_result, write_result
from conure_core.cli import main
from conure_core.robot.arm import Arm
from conure_core.robot.description import ROBOTS_DIR, load_robot
from conure_core.servos.bus_config import load_bus
from conure_sim.physics.arm_simulation import load_arm_simulation
from conure_sim.physics.bullet_world import BulletWorld
from conure_sim.physics.servo_model import Servo
from conure_sim.randomization.factors import find_randomization

ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)
ARM = Arm(ROBOT)
STILL = np.zeros(len(HOME))
GOOD = Verdict(True, "Good.")
OFFSETS_DEG = {"shoulder": 1.2, "elbow": -0.8, "wrist_angle": 0.5}
SERVO = Servo(
    stiffness_nm_rad=60.0,
    damping_nm_s_rad=4.0,
    limit_nm=12.0,
    coulomb_nm=0.2,
    armature_kg_m2=0.1,
    delay_s=0.02,
    backlash_rad=np.radians(0.4),
)
LENS = Lens(
    "plumb_bob",
    640,
    480,
    np.array([[600.0, 0.0, 320.0], [0.0, 602.0, 242.0], [0.0, 0.0, 1.0]]),
    np.array([-0.1, 0.05, 0.001, -0.001, 0.0]),
)
CAMERA_POSE = {
    "parent": "base_link",
    "translation_m": [0.7, 0.05, 0.5],
    "rotation_xyzw": [0.6552, 0.6552, -0.2659, -0.2659],
}


def dynamics(feedback_s=0.005):
    """What a perfect calibration of SERVO in every joint says."""
    quantities = []
    for joint, name in enumerate(ROBOT.joint_names):
        inertia = ARM.inertia(HOME)[joint, joint] + SERVO.armature_kg_m2
        sin, cos = gravity_torque(ARM, joint) / inertia
        values = {
            "stiffness_1_s2": SERVO.stiffness_nm_rad / inertia,
            "damping_1_s": SERVO.damping_nm_s_rad / inertia,
            "coulomb_rad_s2": SERVO.coulomb_nm / inertia,
            "limit_rad_s2": SERVO.limit_nm / inertia,
            "gravity_sin_rad_s2": sin,
            "gravity_cos_rad_s2": cos,
            "delay_ms": 1000 * (SERVO.delay_s + feedback_s),
            "backlash_deg": np.degrees(SERVO.backlash_rad),
        }
        for key, value in values.items():
            quantities.append(Quantity.of(f"{name}_{key}", value, 0.02 * abs(value)))
    return quantities


def everything():
    """Quantities of all calibrations, by name."""
    axes = ("x_m", "y_m", "z_m", "rotation_x_deg", "rotation_y_deg", "rotation_z_deg")
    place = [Quantity.of(f"camera_{axis}", 0.1, 0.002) for axis in axes]
    return {
        "camera": [Quantity.of("focal_x_px", 600.0, 1.2), Quantity.of("focal_y_px", 602.0, 1.2)],
        "hand_eye": place,
        "joints": [Quantity.of(f"offset_{n}_deg", v, 0.1) for n, v in OFFSETS_DEG.items()],
        "latency": [
            Quantity.of("camera_delay_ms", 40.0, 2.0),
            Quantity.of("feedback_delay_ms", 5.0, 0.5),
        ],
        "dynamics": dynamics(),
    }


def save(folder, what, quantities, verdict=GOOD, robot="wx250s", size=(640, 480)):
    data = folder / what
    data.mkdir(parents=True, exist_ok=True)
    of_camera = what in ("camera", "hand_eye")
    name = "" if what in ("camera", "latency") else robot
    result = new_result(what, data, tuple(quantities), verdict, name, size if of_camera else (0, 0))
    write_result(data / "result.yaml", result)


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    for what, quantities in everything().items():
        save(folder, what, quantities)
    write_lens(folder / "camera/camera.yaml", LENS, "table")
    (folder / "hand_eye/pose.yaml").write_text(yaml.safe_dump(CAMERA_POSE))
    return folder


def apply(results, *words):
    out = results.parent / "out"
    return main(["calibrate", "apply", f"from={results}", f"out={out}", *words]), out


def test_the_kinematics_of_the_new_robot_are_those_of_true_angles(results):
    code, out = apply(results)
    assert code == 0
    new = Arm(load_robot(str(out / "wx250s_calibrated.yaml")))
    offsets = np.radians([OFFSETS_DEG.get(name, 0.0) for name in ROBOT.joint_names])
    for seed in range(5):
        angles = HOME + np.random.default_rng(seed).uniform(-0.3, 0.3, len(HOME))
        assert new.forward(angles) == pytest.approx(ARM.forward(angles + offsets), abs=1e-9)
    assert new.lower_rad == pytest.approx(ARM.lower_rad - offsets)


def test_a_tool_offset_moves_the_tool_alone(results):
    tool = Quantity.of("tool_offset_x_m", 0.01, 0.001)
    save(results, "joints", [tool])
    code, out = apply(results)
    assert code == 0
    new = Arm(load_robot(str(out / "wx250s_calibrated.yaml"))).forward(HOME)
    old = ARM.forward(HOME)
    assert new[:3, 3] == pytest.approx(old[:3, 3] + 0.01 * old[:3, 0], abs=1e-9)


def test_the_simulated_servos_are_those_that_were_measured(results):
    _, out = apply(results)
    simulation = load_arm_simulation(str(out / "wx250s_calibrated.yaml"))
    assert simulation.servo == "measured"
    assert simulation.table_size_m == load_arm_simulation("wx250s").table_size_m
    for joint, servo in enumerate(simulation.servos):
        # Gravity tells no inertia of waist and wrist: they take the others' armature.
        assert vars(servo) == pytest.approx(vars(SERVO), rel=0.02), joint


def test_the_simulated_arm_droops_as_the_measured_one(results):
    _, out = apply(results, "what=[dynamics]")
    path = str(out / "wx250s_calibrated.yaml")
    world = BulletWorld(load_robot(path), None, load_arm_simulation(path))
    world.reset(HOME, ROBOT.gripper_open_m)
    world.advance(2.0)
    droop = world.joint_state().joint_rad - HOME
    expected = -ARM.inverse_dynamics(HOME, STILL, STILL) / SERVO.stiffness_nm_rad
    dead = SERVO.coulomb_nm / SERVO.stiffness_nm_rad
    assert np.abs(droop - expected).max() < 1.5 * dead
    world.close()


def test_the_environment_takes_camera_arm_and_preset(results):
    _, out = apply(results)
    env = gymnasium.make(
        "conure/Lift-v0",
        arm=str(out / "wx250s_calibrated.yaml"),
        cameras={"table": str(out / "camera.yaml")},
        randomization=str(out / "calibrated.yaml"),
    )
    observation, info = env.reset(seed=0)
    assert observation["image"].shape == (480, 640, 3)
    assert 1.0 != info["randomization"]["dynamics.servo_stiffness_scale.0"] > 0.9
    env.close()


def test_the_preset_holds_the_measured_intervals_and_else_what_full_has(results):
    _, out = apply(results)
    preset = find_randomization(str(out / "calibrated.yaml"))
    full = find_randomization("full")
    half = 1.6449 * 0.02
    assert preset.servo_stiffness_scale == pytest.approx((1 - half, 1 + half), rel=1e-3)
    assert preset.camera_shift_m == pytest.approx((-0.00329, 0.00329), rel=1e-2)
    assert preset.joint_offset_rad[1] == pytest.approx(np.radians(0.16449), rel=1e-3)
    assert preset.frame_delay_s == pytest.approx((0.03671, 0.04329), rel=1e-3)
    assert preset.gain_scale == (1.0, 1.0) and preset.command_delay_s == (0.0, 0.0)
    assert preset.mass_scale == full.mass_scale and preset.tint == full.tint


def test_a_delay_longer_than_a_control_period_is_said(results, capsys):
    save(results, "latency", [Quantity.of("camera_delay_ms", 150.0, 2.0)])
    code, out = apply(results)
    assert code == 0 and "at most a control period, 100 ms" in capsys.readouterr().out
    assert find_randomization(str(out / "calibrated.yaml")).frame_delay_s == (0.1, 0.1)


def test_a_serial_arm_keeps_its_bus(results):
    robot = ROBOTS_DIR / "wx250s_serial.yaml"
    code, out = apply(results, f"robot={robot}")
    assert code == 0
    new = str(out / "wx250s_serial_calibrated.yaml")
    assert load_bus(new) == load_bus(str(robot))
    old = load_robot(str(robot))
    assert replace(load_robot(new), urdf=old.urdf) == old
    assert load_arm_simulation(new).servo == "measured"


@pytest.mark.parametrize(
    ("what", "change", "reason"),
    [
        ("dynamics", {"verdict": Verdict(False, "Bad.")}, "not usable: Bad."),
        ("dynamics", {"robot": "panda"}, "robot must be wx250s, got panda"),
        ("hand_eye", {"size": (320, 240)}, "width_px and height_px must be (640, 480)"),
    ],
)
def test_a_result_of_something_else_is_refused_in_a_line(results, what, change, reason, capsys):
    save(results, what, everything()[what], **change)
    code, out = apply(results)
    said = capsys.readouterr().err
    assert code == 1 and reason in said and said.count("\n") == 1
    assert "leave it out: what=[camera," in said
    assert not out.exists()


def test_what_is_left_out_is_not_applied(results):
    save(results, "dynamics", [], verdict=Verdict(False, "Bad."))
    code, out = apply(results, "what=[joints]")
    assert code == 0 and not (out / "camera.yaml").exists()
    assert load_arm_simulation(str(out / "wx250s_calibrated.yaml")).servo == "ideal"
    assert yaml.safe_load((out / "applied.yaml").read_text())["results"].keys() == {"joints"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["from=/nowhere"], "from=/nowhere is not a folder"),
        (["what=[arm]"], "unknown calibration 'arm'"),
        (["what=[scene]"], "scene/result.yaml is missing; run conure calibrate scene first"),
        (["robot=wx251"], "unknown robot 'wx251'"),
    ],
)
def test_wrong_words_are_refused_in_a_line(results, words, reason, capsys):
    code, _ = apply(results, *words)
    said = capsys.readouterr().err
    assert code == 1 and reason in said and said.count("\n") == 1


def test_a_joint_that_was_not_recorded_is_named(results, capsys):
    kept = [quantity for quantity in dynamics() if not quantity.name.startswith("elbow")]
    save(results, "dynamics", kept)
    assert apply(results)[0] == 1
    assert "dynamics does not tell elbow's stiffness" in capsys.readouterr().err


def test_a_lens_that_the_simulator_does_not_render_is_refused(results, capsys):
    fisheye = replace(LENS, model="equidistant", distortion=np.zeros(4))
    write_lens(results / "camera/camera.yaml", fisheye, "table")
    assert apply(results)[0] == 1
    assert "renders lenses of model plumb_bob, this one is equidistant" in capsys.readouterr().err


def test_a_second_run_replaces_the_first_as_a_whole_and_nothing_of_others(results, capsys):
    _, out = apply(results)
    save(results, "joints", [])
    assert apply(results, "what=[joints]")[0] == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "applied.yaml", "calibrated.yaml", "wx250s_calibrated.sim.yaml", "wx250s_calibrated.yaml",
    ]  # fmt: skip
    (out / "notes.txt").write_text("mine")
    assert apply(results)[0] == 1
    assert "holds notes.txt" in capsys.readouterr().err and (out / "notes.txt").is_file()


def test_a_robot_that_would_not_load_leaves_the_old_files(results, capsys):
    _, out = apply(results)
    before = (out / "wx250s_calibrated.urdf").read_text()
    save(results, "joints", [Quantity.of("offset_shoulder_deg", 90.0, 0.1)])
    assert apply(results)[0] == 1
    said = capsys.readouterr().err
    assert "home_rad" in said and said.count("\n") == 1
    assert (out / "wx250s_calibrated.urdf").read_text() == before
    assert not list(out.parent.glob(".out.*tmp*"))


def test_inertias_come_from_gravity(results):
    measured = read_measured(results, ROBOT)
    sin, cos = gravity_torque(ARM, 1)
    angles = HOME.copy()
    angles[1] = 0.7
    torque = ARM.inverse_dynamics(angles, STILL, STILL)[1]
    assert sin * np.sin(0.7) + cos * np.cos(0.7) == pytest.approx(torque, rel=1e-6)
    assert measured.value("dynamics", "shoulder_stiffness_1_s2") > 0
