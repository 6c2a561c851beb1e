"""Hand-eye and joint offsets: exact without noise, honest with it, and wrong sets are named."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml

from conure_calibration.benchmarks.arm_cases import (
    draw_case,
    nominal_places,
    observed,
    reference_arm,
)
from conure_calibration.benchmarks.hand_eye_cases import FAULTS, MOUNTS, fault_found
from conure_calibration.commands.joints import tool_offset
from conure_calibration.hand_eye.judge import calibrate_hand_eye
from conure_calibration.hand_eye.linear import solve_park
from conure_calibration.hand_eye.model import OFFSETS, ArmNoise
from conure_calibration.hand_eye.proposal import choose_poses
from conure_calibration.hand_eye.samples import Samples
from conure_calibration.hand_eye.solve import solve_hand_eye, solve_linear
from conure_calibration.intrinsics.frames import image_paths
from conure_calibration.poses import difference, inverse, pose
from conure_calibration.results.result import read_result
from conure_core.cli import main
from conure_core.errors import DataError
from conure_ros.cameras.calibration import read_pose

OPENCV_PARK = [
    [0.976646, 0.201149, -0.075505, 0.020055],
    [-0.183029, 0.962972, 0.197955, -0.174402],
    [0.112528, -0.179513, 0.977299, -0.210479],
]
"""cv2.calibrateHandEye of OpenCV 4.12 with method=CALIB_HAND_EYE_PARK on `noisy_pairs`."""
EXACT = ArmNoise(1e-7, 1e-7)


def exact_samples(mount, offsets, count=15):
    """Samples without any noise, and the true X in the gauge that can be told."""
    case = draw_case(np.random.default_rng(1), mount, 0.0, count, EXACT)
    chain = case.chain
    x, z = nominal_places(mount)
    outer = case.samples.outer_from_inner(chain, case.samples.joint_rad + offsets)
    poses = inverse(x) @ inverse(outer) @ z
    covariance = np.broadcast_to(1e-14 * np.eye(6), (count, 6, 6)).copy()
    samples = replace(case.samples, camera_from_board=poses, covariance=covariance)
    gauge = chain.tool_turns(offsets[-1]) if mount == "wrist" else chain.turns(0, -offsets[0])
    return samples, gauge @ x


@pytest.mark.parametrize("mount", MOUNTS)
def test_without_noise_place_and_offsets_are_exact(mount):
    chain = reference_arm()[1]
    offsets = np.radians([1.0, -2.0, 1.5, 2.5, -1.0, 3.0])
    samples, x = exact_samples(mount, offsets)
    found = solve_hand_eye(chain, samples, EXACT)
    np.testing.assert_allclose(found.x, x, atol=1e-6)
    np.testing.assert_allclose(found.offsets_rad[1:-1], offsets[1:-1], atol=1e-6)
    assert found.offsets_rad[0] == found.offsets_rad[-1] == 0.0
    without = solve_linear(chain, samples)[0]
    assert np.linalg.norm(without[:3, 3] - x[:3, 3]) > 0.001


@pytest.mark.parametrize("mount", MOUNTS)
def test_the_closed_form_is_exact_on_an_exact_arm(mount):
    samples, x = exact_samples(mount, np.zeros(6))
    outer = samples.outer_from_inner(reference_arm()[1])
    found, z = solve_park(outer, samples.camera_from_board)
    np.testing.assert_allclose(found, x, atol=1e-9)
    np.testing.assert_allclose(
        outer @ found @ samples.camera_from_board, z[None] + 0 * outer, atol=1e-9
    )


def noisy_pairs():
    """Poses of a tool and of a board with noise; needs nothing but numpy's generator."""
    rng = np.random.default_rng(8)
    outer = pose(rng.uniform(-0.6, 0.6, (12, 6)))
    x, z = pose(rng.uniform(-0.3, 0.3, 6)), pose(rng.uniform(-0.3, 0.3, 6))
    return outer, inverse(x) @ inverse(outer) @ z @ pose(0.004 * rng.normal(size=(12, 6)))


def test_the_closed_form_is_opencvs():
    """Its wheels of version 5 lack the function: the numbers are those of 4.12 on these pairs."""
    found = solve_park(*noisy_pairs())[0]
    np.testing.assert_allclose(found[:3], OPENCV_PARK, atol=1e-5)


@pytest.mark.parametrize("mount", MOUNTS)
def test_offsets_are_solved_for_where_the_closed_form_is_wrong(mount):
    chain = reference_arm()[1]
    ours, park = [], []
    for seed in range(4):
        case = draw_case(np.random.default_rng(seed), mount, np.radians(3.0))
        found = solve_hand_eye(chain, case.samples)
        ours.append(np.linalg.norm(found.x[:3, 3] - case.x[:3, 3]))
        park.append(np.linalg.norm(solve_linear(chain, case.samples)[0][:3, 3] - case.x[:3, 3]))
        assert found.noise_ratio == pytest.approx(1.0, abs=0.4)
        errors = np.abs(found.offsets_rad - case.offsets_rad)[1:-1]
        assert (errors < 4 * found.deviations[OFFSETS]).all()
    assert np.median(ours) < 0.004
    assert np.median(park) > 3 * np.median(ours)


def test_intervals_grow_with_the_arms_noise():
    chain = reference_arm()[1]
    deviations = []
    for scale in (1.0, 3.0):
        noise = ArmNoise(0.002 * scale, 0.00873 * scale)
        case = draw_case(np.random.default_rng(5), "stand", 0.0, noise=noise)
        found = solve_hand_eye(chain, case.samples)  # is not told the noise
        deviations.append(found.translation_deviation_m.max())
    assert deviations[1] == pytest.approx(3 * deviations[0], rel=0.4)


def test_what_poses_do_not_tell_is_hidden():
    """Poses in which a joint hardly moves leave its offset where it was."""
    case = draw_case(np.random.default_rng(6), "stand", np.radians(1.0), 15)
    chain = case.chain
    candidates = case.samples
    found = solve_hand_eye(chain, candidates)
    assert not found.hidden
    near = candidates.joint_rad[0] + 0.05 * np.random.default_rng(0).normal(size=(15, 6))
    template = replace(candidates, joint_rad=near)
    rng = np.random.default_rng(1)
    still = observed(rng, template, np.zeros(6), nominal_places("stand"), ArmNoise())
    assert len(solve_hand_eye(chain, still).hidden) >= 2


def test_chosen_poses_tell_more_than_any():
    chain = reference_arm()[1]
    deviations = []
    for chosen in (True, False):
        case = draw_case(np.random.default_rng(7), "wrist", 0.0, chosen=chosen)
        deviations.append(solve_hand_eye(chain, case.samples).translation_deviation_m.max())
    assert deviations[0] < 0.85 * deviations[1]
    order = choose_poses(chain, case.samples, nominal_places("wrist"), 5)
    assert len(set(order)) == 5


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("fault", ["none", *FAULTS])
def test_a_spoiled_set_is_refused_or_found_by_name(fault, mount):
    assert fault_found(11, fault, mount)


def test_few_poses_are_refused():
    case = draw_case(np.random.default_rng(1), "stand", 0.0, 7)
    with pytest.raises(DataError, match="7 poses, at least 8 are needed"):
        calibrate_hand_eye(case.chain, case.samples)


def test_samples_are_of_a_known_mount():
    with pytest.raises(Exception, match="unknown mount 'head'"):
        Samples("head", (), np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))


def test_the_command_finds_the_camera_in_images(hand_eye_folder, hand_eye_case, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["calibrate", "hand_eye", f"from={hand_eye_folder}", f"out={out}"]
    assert main(words) == 0, capsys.readouterr().err
    result = read_result(out / "result.yaml", "hand_eye", "wx250s", (640, 480))
    place = [result.value(f"camera_{axis}_m") for axis in "xyz"]
    assert np.linalg.norm(place - hand_eye_case.x[:3, 3]) < 0.008
    assert "waist (first joint, gauge)" in result.not_observable[0]
    found = read_pose(out / "pose.yaml")
    assert found.parent == "ee_gripper_link"
    assert found.translation_m == pytest.approx(place)
    page = (out / "report.html").read_text()
    assert "Usable" in page and page.count("<figure>") == 2


def test_joints_alone_says_offsets_and_what_it_cannot(hand_eye_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["calibrate", "joints", f"from={hand_eye_folder}", f"out={out}"]) == 0
    result = read_result(out / "result.yaml", "joints", "wx250s")
    names = [quantity.name for quantity in result.quantities]
    assert names == [
        f"offset_{joint}_deg" for joint in ("shoulder", "elbow", "forearm_roll", "wrist_angle")
    ]
    assert any(line.startswith("tool offset") for line in result.not_observable)
    words = [f"from={hand_eye_folder}", f"out={out}", "tool_from_board=[0,0,0,0,0,0]"]
    assert main(["calibrate", "joints", *words]) == 1
    assert "nothing shows where the tool is" in capsys.readouterr().err


def test_a_tool_that_is_not_where_it_was_drawn_is_measured():
    """The drawing has the board elsewhere on the tool; what differs is the tool's offset."""
    chain = reference_arm()[1]
    samples, _ = exact_samples("stand", np.zeros(6))
    _, z = nominal_places("stand")
    offset = np.array([0.004, -0.002, 0.006, 0.02, -0.03, 0.01])
    drawn = inverse(pose(offset)) @ z
    twist = difference(np.eye(4), drawn)
    found = tool_offset(solve_hand_eye(chain, samples, EXACT), twist.tolist())
    values = [quantity.value for quantity in found]
    np.testing.assert_allclose(values[:3], offset[:3], atol=1e-6)
    np.testing.assert_allclose(np.radians(values[3:]), offset[3:], atol=1e-6)
    assert found[3].name == "tool_offset_rotation_x_deg"


def of_session(change):
    def spoil(folder):
        session = yaml.safe_load((folder / "session.yaml").read_text())
        change(session)
        (folder / "session.yaml").write_text(yaml.safe_dump(session))

    return spoil


def of_board(**changes):
    def spoil(folder):
        board = yaml.safe_load((folder / "board.yaml").read_text())
        (folder / "board.yaml").write_text(yaml.safe_dump(board | changes))

    return spoil


def shift(session):
    images = [sample["image"] for sample in session["samples"]]
    for sample, image in zip(session["samples"], images[1:], strict=False):
        sample["image"] = image
    session["samples"].pop()


def smaller_images(folder):
    for path in image_paths(folder)[:1]:
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (320, 240)))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (of_board(measured=False), "measured must be true"),
        (of_board(columns=7, rows=10), "rows and columns are swapped"),
        (of_session(lambda it: it.update(mount="hand")), "unknown mount 'hand'"),
        (of_session(lambda it: it.update(robot="wx250")), "unknown robot 'wx250'; did you mean"),
        (of_session(lambda it: it.update(robot="so101")), "joint_rad must have 5 values"),
        (of_session(lambda it: it["samples"][1].update(image="00.png")), "00.png is given twice"),
        (of_session(lambda it: it["samples"][1].update(image="77.png")), "77.png is missing"),
        (smaller_images, "has 320x240 px, camera.yaml is for 640x480"),
        (lambda folder: (folder / "camera.yaml").unlink(), "camera.yaml is missing"),
        (lambda folder: (folder / "session.yaml").unlink(), "session.yaml is missing"),
    ],
)
def test_a_wrong_recording_is_refused_in_a_line(spoil, reason, hand_eye_folder, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(hand_eye_folder, folder)
    spoil(folder)
    out = tmp_path / "out"
    assert main(["calibrate", "hand_eye", f"from={folder}", f"out={out}"]) == 1
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1
    assert not (out / "pose.yaml").exists()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (of_session(shift), "pairs shifted"),
        (of_board(square_x_m=0.028, square_y_m=0.028), "wrong square size"),
    ],
)
def test_a_bad_verdict_leaves_no_pose_of_an_earlier_run(
    spoil, reason, hand_eye_folder, tmp_path, capsys
):
    folder, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(hand_eye_folder, folder)
    spoil(folder)
    out.mkdir()
    (out / "pose.yaml").write_text("of an earlier run")
    assert main(["calibrate", "hand_eye", f"from={folder}", f"out={out}"]) == 0
    said = capsys.readouterr().out
    assert reason in said and "NOT usable" in said
    assert not (out / "pose.yaml").exists()
    assert reason in (out / "report.html").read_text()


def test_a_failed_detection_drops_its_pose_too(hand_eye_folder, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(hand_eye_folder, folder)
    cv2.imwrite(str(folder / "03.png"), np.full((480, 640), 90, dtype=np.uint8))
    out = tmp_path / "out"
    assert main(["calibrate", "hand_eye", f"from={folder}", f"out={out}"]) == 0
    assert read_result(out / "result.yaml", "hand_eye").verdict.usable
