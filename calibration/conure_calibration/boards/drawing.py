"""A board as the rectangles that make it, and those as pixels."""

from collections.abc import Iterator

import numpy as np

from conure_calibration.boards.board import Board
from conure_core.types import Array

Rectangle = tuple[float, float, float, float]
"""Left, top, width, height."""


def black_rectangles(board: Board) -> Iterator[Rectangle]:
    """Yield the black parts of a board, in squares, from its upper left corner."""
    for column, row in board.black_squares():
        yield (column, row, 1.0, 1.0)
    margin = (1.0 - board.marker_fraction) / 2.0
    for (column, row), identity in board.marker_squares().items():
        bits = board.marker_bits(identity)
        side = board.marker_fraction / len(bits)
        for down, across in np.argwhere(bits == 0):
            left = column + margin + across * side
            top = row + margin + down * side
            yield (left, top, side, side)


def board_pixels(
    board: Board,
    pixels_a_square: int,
    margin: float = 0.6,
) -> Array:
    """Draw a board from above.

    Args:
        board: What is drawn.
        pixels_a_square: Side of a square; a multiple of 20 draws every default marker exactly.
        margin: White around the board, in squares.

    Returns:
        Brightness in [0, 1], shape (height, width).
    """
    height_px = round((board.rows + 2 * margin) * pixels_a_square)
    width_px = round((board.columns + 2 * margin) * pixels_a_square)
    image = np.ones((height_px, width_px))
    for left, top, width, height in black_rectangles(board):
        edges = np.array([left, left + width, top, top + height]) + margin
        x0, x1, y0, y1 = np.rint(edges * pixels_a_square).astype(int)
        image[y0:y1, x0:x1] = 0.0
    return image
