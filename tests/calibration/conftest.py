"""Folders of raw data, rendered once."""

from dataclasses import asdict

import cv2
import numpy as np
import pytest
import yaml

from conure_calibration.benchmarks.arm_cases import BOARDS, LENS, draw_case
from conure_calibration.benchmarks.rendering import Renderer, draw_board_pose, draw_lens
from conure_calibration.boards.board import Board
from conure_calibration.intrinsics.lens import write_lens

CHARUCO = Board("charuco", 10, 7, 0.025, 0.025, True)
CHESSBOARD = Board("chessboard", 10, 7, 0.025, 0.025, True)


def write_board(folder, board):
    (folder / "board.yaml").write_text(yaml.safe_dump(asdict(board)))


@pytest.fixture(scope="session")
def lens():
    return draw_lens(np.random.default_rng(3))


@pytest.fixture(scope="session")
def camera_folder(made_once, lens):
    """Twelve images of a ChArUco board, one of them twice, one blurred by motion."""

    def make(folder):
        folder.mkdir()
        write_board(folder, CHARUCO)
        rng = np.random.default_rng(3)
        renderer = Renderer(lens, CHARUCO)
        for index in range(12):
            pose = draw_board_pose(lens, CHARUCO, rng)
            image = renderer.image(pose, rng, 12.0 if index == 5 else 0.0)
            cv2.imwrite(str(folder / f"{index:02}.png"), image)
        cv2.imwrite(str(folder / "02_again.png"), renderer.image(pose, rng))

    return made_once("camera_folder", make)


@pytest.fixture(scope="session")
def hand_eye_case():
    return draw_case(np.random.default_rng(4), "wrist", np.radians(1.0), 14)


@pytest.fixture(scope="session")
def hand_eye_folder(made_once, hand_eye_case):
    """Images that a camera on the wrist took of a sheet on the table, with the arm's angles."""

    def make(folder):
        folder.mkdir()
        samples = hand_eye_case.samples
        write_board(folder, BOARDS["wrist"])
        write_lens(folder / "camera.yaml", LENS, "wrist")
        renderer = Renderer(LENS, BOARDS["wrist"])
        rng = np.random.default_rng(4)
        pairs = []
        for index, pose in enumerate(samples.camera_from_board):
            name = f"{index:02}.png"
            cv2.imwrite(str(folder / name), renderer.image(pose, rng))
            pairs.append({"image": name, "joint_rad": samples.joint_rad[index].tolist()})
        session = {"robot": "wx250s", "mount": "wrist", "samples": pairs}
        (folder / "session.yaml").write_text(yaml.safe_dump(session))

    return made_once("hand_eye_folder", make)
