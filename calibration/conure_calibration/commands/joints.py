"""`conure calibrate joints`: joint offsets and tool offset, from a hand-eye recording."""

from dataclasses import dataclass

import numpy as np

from conure_calibration.commands.hand_eye import (
    POSE_AXES,
    figures,
    hidden,
    offset_quantities,
    solve_folder,
)
from conure_calibration.commands.outputs import data_folder, with_data, write_outputs
from conure_calibration.hand_eye.model import Z
from conure_calibration.hand_eye.solve import HandEye
from conure_calibration.poses import ANGULAR, adjoint, difference, pose
from conure_calibration.results.result import Quantity, new_result
from conure_core.config.loader import load_config
from conure_core.config.values import check_values
from conure_core.errors import ConfigError
from conure_core.runtime.claim import claimed


@dataclass(frozen=True)
class JointsConfig:
    """Configuration of `conure calibrate joints`; see conf/calibrate_joints.yaml."""

    data: str
    """Folder of a hand-eye recording."""
    tool_from_board: list[float]
    """Pose of a board on the tool as drawn, m and rotation vector in rad; empty: not known."""
    out: str
    """Folder for result.yaml and report.html."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        if len(self.tool_from_board) not in (0, 6):
            raise ConfigError(
                "tool_from_board must be six numbers, x y z in m and a rotation vector in rad, got"
                f" {len(self.tool_from_board)}"
            )


def run(overrides: list[str]) -> None:
    """Calibrate joint offsets and tool offset from a folder of images and poses."""
    words = with_data(overrides)
    config = load_config("conure_calibration.conf", "calibrate_joints", JointsConfig, words)
    folder = data_folder(config.data, config.out)
    with claimed(config.out, "conure calibrate joints") as out:
        recording, judged = solve_folder(folder, True)
        not_told = hidden(recording, judged)
        quantities = offset_quantities(recording, judged)
        if config.tool_from_board:
            if recording.session.mount != "stand":
                raise ConfigError(
                    "tool_from_board is for a board on the tool (mount: stand); with the camera on"
                    " the wrist nothing shows where the tool is"
                )
            quantities += tool_offset(judged.solution, config.tool_from_board)
        else:
            not_told += (
                "tool offset: tool_from_board does not say where the board is on the tool",
            )
        result = new_result(
            "joints",
            folder,
            tuple(quantities),
            judged.verdict,
            recording.robot.name,
            recording.lens.size_px,
            not_told,
        )
        write_outputs(out, result, judged.checks, figures(folder, recording, judged))


def tool_offset(solution: HandEye, drawn: list[float]) -> list[Quantity]:
    """Compute where the tool is in the frame that the kinematics say.

    The board is where it was drawn, on the true tool: tool_from_board as measured is
    tool_from_true_tool @ drawn. The last joint's offset is part of it.

    Args:
        solution: Of a camera on a stand.
        drawn: The board on the tool, translation (m) and rotation vector (rad).
    """
    board_on_tool = pose(np.array(drawn))
    true_tool = solution.z @ np.linalg.inv(board_on_tool)
    twist = difference(np.eye(4), true_tool)
    # A small motion of the board, carried to the tool.
    carried = adjoint(board_on_tool)
    covariance = carried @ solution.covariance[Z, Z] @ carried.T
    deviations = np.sqrt(np.diag(covariance))
    twist[ANGULAR] = np.degrees(twist[ANGULAR])
    deviations[ANGULAR] = np.degrees(deviations[ANGULAR])
    return [
        Quantity.of(f"tool_offset_{axis}", value, deviation, solution.quantile)
        for axis, value, deviation in zip(POSE_AXES, twist, deviations, strict=True)
    ]
