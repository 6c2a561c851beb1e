"""A calibration board: how many squares it has, how large they are as measured, what is on it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from conure_core.config.yaml_fields import bounded, read_fields, require_bounds
from conure_core.errors import ConfigError, unknown_name
from conure_core.types import Array

KINDS = ("charuco", "chessboard")
BOARD = "board.yaml"
DICTIONARIES = tuple(sorted(name for name in dir(cv2.aruco) if name.startswith("DICT_")))


@dataclass(frozen=True)
class Board:
    """The file `board.yaml`. The board's frame: origin at the outer corner of the first square, x
    along the columns, y along the rows, z into the board, away from who looks at it.
    """

    kind: str
    """"charuco" or "chessboard"."""
    columns: int = bounded(3, 100)
    """Squares along x: one more than inner corners."""
    rows: int = bounded(3, 100)
    """Squares along y."""
    square_x_m: float = bounded(0.001, 1.0)
    """Side of a square along x, as measured on the printed board, m."""
    square_y_m: float = bounded(0.001, 1.0)
    """Side of a square along y, m."""
    measured: bool = False
    """Whether somebody measured the printed board: without that its size is the printer's guess."""
    dictionary: str = "DICT_5X5_250"
    """Of the markers; for "charuco"."""
    marker_fraction: float = bounded(0.3, 0.9, default=0.7)
    """Side of a marker in squares; for "charuco"."""
    legacy: bool = False
    """Layout of OpenCV before 4.6 (and calib.io): the first square is white where rows are even."""

    def __post_init__(self) -> None:
        require_bounds(self)
        if self.kind not in KINDS:
            raise unknown_name("kind", self.kind, KINDS)
        if self.dictionary not in DICTIONARIES:
            raise unknown_name("dictionary", self.dictionary, DICTIONARIES)
        if self.kind == "charuco":
            self._require_markers()

    def _require_markers(self) -> None:
        """Raises: ConfigError if the dictionary has too few of them."""
        has = len(self.markers.bytesList)
        needs = self.columns * self.rows // 2
        if has < needs:
            raise ConfigError(
                f"dictionary {self.dictionary} has {has} markers, {self.columns}x{self.rows}"
                f" squares need {needs}; take one with more, such as DICT_5X5_1000"
            )

    @property
    def inner(self) -> tuple[int, int]:
        """Inner corners along x and along y."""
        return self.columns - 1, self.rows - 1

    @property
    def corners(self) -> int:
        """Number of inner corners."""
        return (self.columns - 1) * (self.rows - 1)

    @property
    def width_m(self) -> float:
        """Side of all squares together along x."""
        return self.columns * self.square_x_m

    @property
    def height_m(self) -> float:
        """Side of all squares together along y."""
        return self.rows * self.square_y_m

    @property
    def outline_m(self) -> Array:
        """The board's four outer corners, shape (4, 3), in its frame."""
        unit = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
        return np.asarray(unit * [self.width_m, self.height_m, 0.0])

    @property
    def is_ambiguous(self) -> bool:
        """Whether the board looks the same after half a turn, so that its pose has two answers."""
        return self.kind == "chessboard" and (self.columns + self.rows) % 2 == 0

    @cached_property
    def points_m(self) -> Array:
        """Inner corners, shape (corners, 3), in the board's frame, by id: along x first."""
        across, down = self.inner
        columns = np.arange(1, across + 1)
        rows = np.arange(1, down + 1)
        x, y = np.meshgrid(columns, rows)
        x_m = x.ravel() * self.square_x_m
        y_m = y.ravel() * self.square_y_m
        return np.stack([x_m, y_m, np.zeros(self.corners)], axis=1)

    @property
    def markers(self) -> Any:
        """The dictionary of the markers, as OpenCV has it."""
        return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))

    @cached_property
    def charuco(self) -> Any:
        """The board as OpenCV has it, with squares of side 1: corners are found by id alone."""
        board = cv2.aruco.CharucoBoard(
            (self.columns, self.rows), 1.0, self.marker_fraction, self.markers
        )
        board.setLegacyPattern(self.legacy)
        return board

    def marker_squares(self) -> dict[tuple[int, int], int]:
        """The id of the marker in each white square (column, row) that has one."""
        if self.kind != "charuco":
            return {}
        found = {}
        ids = self.charuco.getIds().ravel()
        outlines = self.charuco.getObjPoints()
        for identity, corners in zip(ids, outlines, strict=True):
            column, row, _ = np.floor(np.mean(corners, axis=0))
            found[int(column), int(row)] = int(identity)
        return found

    def black_squares(self) -> list[tuple[int, int]]:
        """The black squares (column, row)."""
        places = [(column, row) for row in range(self.rows) for column in range(self.columns)]
        markers = self.marker_squares()
        if markers:
            return [place for place in places if place not in markers]
        return [place for place in places if sum(place) % 2 == 0]

    def marker_bits(self, identity: int) -> Array:
        """The marker as a square matrix of 0 (black) and 255, its black border included."""
        side = self.markers.markerSize + 2
        return np.asarray(cv2.aruco.generateImageMarker(self.markers, identity, side, borderBits=1))


def read_board(folder: Path) -> Board:
    """Read the board of a folder of raw data.

    Raises:
        ConfigError: There is none, or a field is wrong; names file and field.
    """
    path = folder / BOARD
    if not path.is_file():
        raise ConfigError(
            f"{path} is missing: it says which board the images show; conure calibrate board writes"
            " one, copy it here"
        )
    return read_fields(path, Board)
