"""`conure calibrate hand_eye`: where a camera stands, with the arm's joint offsets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conure_calibration.commands.outputs import data_folder, with_data, write_outputs
from conure_calibration.hand_eye.judge import Judged, calibrate_hand_eye
from conure_calibration.hand_eye.model import OFFSETS, ArmNoise, X
from conure_calibration.hand_eye.place import write_place
from conure_calibration.hand_eye.recording import HandEyeRecording, read_hand_eye
from conure_calibration.intrinsics.fit import projected
from conure_calibration.intrinsics.frames import read_grey
from conure_calibration.poses import ANGULAR, ROTATION, TRANSLATION, Chain, rotation_vector
from conure_calibration.results.page import (
    COLOURS,
    PREDICTED_RGB,
    SEEN_RGB,
    Figure,
    draw_circles,
    picture,
)
from conure_calibration.results.plots import bars
from conure_calibration.results.result import Quantity, new_result
from conure_core.config.loader import load_config
from conure_core.config.values import check_values
from conure_core.errors import DataError
from conure_core.robot.arm import Arm
from conure_core.runtime.claim import claimed
from conure_core.types import Image

POSE = "pose.yaml"
POSE_AXES = ("x_m", "y_m", "z_m", "rotation_x_deg", "rotation_y_deg", "rotation_z_deg")


@dataclass(frozen=True)
class HandEyeConfig:
    """Configuration of `conure calibrate hand_eye`; see conf/calibrate_hand_eye.yaml."""

    data: str
    """Folder with session.yaml, board.yaml, camera.yaml and images."""
    offsets: bool
    """Whether joint offsets are unknowns."""
    out: str
    """Folder for pose.yaml, result.yaml and report.html."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


def run(overrides: list[str]) -> None:
    """Calibrate where a camera stands, with joint offsets, from a folder of images and poses."""
    words = with_data(overrides)
    config = load_config("conure_calibration.conf", "calibrate_hand_eye", HandEyeConfig, words)
    folder = data_folder(config.data, config.out)
    with claimed(config.out, "conure calibrate hand_eye") as out:
        recording, judged = solve_folder(folder, config.offsets)
        verdict = judged.verdict
        quantities = (*_place(judged), *offset_quantities(recording, judged))
        result = new_result(
            "hand_eye",
            folder,
            quantities,
            verdict,
            recording.robot.name,
            recording.lens.size_px,
            hidden(recording, judged),
        )
        (out / POSE).unlink(missing_ok=True)  # of an earlier run: it would outlive a bad verdict
        if verdict.usable:
            _write_pose(out / POSE, recording, judged)
            print(f"written: {out / POSE}")
        write_outputs(out, result, judged.checks, figures(folder, recording, judged))


def solve_folder(folder: Path, offsets: bool) -> tuple[HandEyeRecording, Judged]:
    """Read a folder and calibrate.

    Args:
        folder: With session.yaml, board.yaml, camera.yaml and images.
        offsets: Whether joint offsets are unknowns.

    Raises:
        ConfigError: A file is missing or wrong.
        DataError: The samples cannot be solved; names folder and fault.
    """
    recording = read_hand_eye(folder)
    chain = Chain.of(Arm(recording.robot))
    noise = ArmNoise(recording.session.arm_noise_m, recording.session.arm_noise_rad)
    try:
        return recording, calibrate_hand_eye(chain, recording.samples, noise, offsets)
    except DataError as error:
        raise DataError(f"{folder}: {error}{_dropped(recording)}") from error


def _dropped(recording: HandEyeRecording) -> str:
    """Which images were dropped and why, for a message."""
    reasons = [f"{name}: {reason}" for name, reason in recording.refused.items()]
    if not reasons:
        return ""
    return f"; {len(reasons)} images dropped ({'; '.join(reasons[:2])})"


def _place(judged: Judged) -> list[Quantity]:
    """X as translation (m) and rotation vector (rad) with intervals."""
    solution = judged.solution
    turns = np.degrees(rotation_vector(solution.x[ROTATION]))
    turn_deviations = np.degrees(solution.deviations[X][ANGULAR])
    values = [*solution.x[TRANSLATION], *turns]
    deviations = [*solution.translation_deviation_m, *turn_deviations]
    return [
        Quantity.of(f"camera_{axis}", value, deviation, solution.quantile)
        for axis, value, deviation in zip(POSE_AXES, values, deviations, strict=True)
    ]


def offset_quantities(recording: HandEyeRecording, judged: Judged) -> list[Quantity]:
    """The observable joint offsets, degrees.

    Args:
        recording: For the joints' names.
        judged: The calibration.
    """
    solution = judged.solution
    found = []
    for joint, deviation in zip(solution.loop.free, solution.deviations[OFFSETS], strict=True):
        if joint not in solution.hidden:
            name = f"offset_{recording.robot.joint_names[joint]}_deg"
            value, spread = np.degrees([solution.offsets_rad[joint], deviation])
            found.append(Quantity.of(name, value, spread, solution.quantile))
    return found


def hidden(recording: HandEyeRecording, judged: Judged) -> tuple[str, ...]:
    """What these data cannot tell, a sentence each.

    Args:
        recording: For names.
        judged: The calibration.
    """
    names = recording.robot.joint_names
    solution = judged.solution
    if not solution.loop.free:
        return ("joint offsets: offsets=false counts them as 0",)
    lines = [
        f"offset of {names[0]} (first joint, gauge): it is the same as turning the base's frame",
        f"offset of {names[-1]} (last joint, gauge): it is the same as turning the tool's frame",
    ]
    for joint in solution.hidden:
        deviation = np.degrees(solution.deviations[OFFSETS][solution.loop.free.index(joint)])
        lines.append(
            f"offset of {names[joint]}: these poses leave {deviation:.1f} degrees; bend it more"
        )
    return tuple(lines)


def _write_pose(
    path: Path,
    recording: HandEyeRecording,
    judged: Judged,
) -> None:
    """The file that `camera_node` takes as `pose`."""
    robot = recording.robot
    parent = robot.tool_frame if recording.session.mount == "wrist" else robot.base_frame
    write_place(path, parent, judged.solution.x)


def figures(
    folder: Path,
    recording: HandEyeRecording,
    judged: Judged,
) -> list[Figure]:
    """Residuals by image, and the worst image with the board where it is predicted.

    Args:
        folder: With the images.
        recording: What they hold.
        judged: The calibration.
    """
    names = recording.samples.names
    distances = 1000 * judged.held_out.translation_m
    by_image = dict(zip(names, distances.tolist(), strict=True))
    worst = int(np.argmax(distances))
    drawn = _overlay(folder, recording, judged, worst)
    return [
        bars(by_image, "mm", "Distance of the board from its held-out prediction, by image."),
        picture(drawn, f"Worst image, {names[worst]}: {COLOURS}."),
    ]


def _overlay(
    folder: Path,
    recording: HandEyeRecording,
    judged: Judged,
    index: int,
) -> Image:
    """An image with the board's corners where the arm predicts them."""
    loop = judged.solution.loop
    predicted = loop.predicted(np.zeros(loop.size))[index]
    corners = recording.corners[index]
    expected = projected(recording.lens, predicted, corners.points_m(recording.board))
    grey = read_grey(folder / recording.samples.names[index])
    pixels: Image = np.repeat(grey[..., None], 3, axis=2).copy()
    draw_circles(pixels, corners.pixels, SEEN_RGB)
    draw_circles(pixels, expected, PREDICTED_RGB)
    return pixels
