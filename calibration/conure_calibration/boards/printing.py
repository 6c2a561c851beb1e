"""A board as a PDF of true size, with rulers that show what the printer made of it."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from conure_calibration.boards.board import Board
from conure_calibration.boards.drawing import black_rectangles
from conure_core.errors import ConfigError, unknown_name
from conure_core.runtime.atomic_files import replacing

PAPER_MM = {"A4": (297.0, 210.0), "A3": (420.0, 297.0), "Letter": (279.4, 215.9)}
"""Width and height, landscape."""
MM_AN_INCH = 25.4
MM_A_METRE = 1000
EDGE_MM = 5.0
"""What printers leave white."""
RULER_MM = 9.0
"""Height of a ruler with its numbers."""
QUIET_MM = 3.0
"""White between board and ruler."""


def write_pdf(
    path: Path,
    board: Board,
    paper: str,
) -> None:
    """Print a board.

    Args:
        path: The PDF file.
        board: What is printed, at its nominal size.
        paper: "A4", "A3" or "Letter", landscape.

    Raises:
        ConfigError: The board does not fit on the paper; says what would.
    """
    canvas = draw_page(board, paper)
    with replacing(path, ".pdf") as temporary, mpl.rc_context({"pdf.compression": 6}):
        canvas.savefig(temporary, format="pdf", metadata={"CreationDate": None})


def draw_page(board: Board, paper: str) -> Figure:
    """Draw a board on paper with a ruler below and one at its left.

    Args:
        board: What is printed, at its nominal size.
        paper: "A4", "A3" or "Letter", landscape.

    Raises:
        ConfigError: The board does not fit on the paper; says what would.
    """
    width_mm, height_mm = _size_mm(paper)
    _require_fit(board, paper)
    across_mm = MM_A_METRE * board.width_m
    down_mm = MM_A_METRE * board.height_m
    left = RULER_MM + (width_mm - across_mm - RULER_MM) / 2
    top = (height_mm - down_mm - RULER_MM) / 2
    canvas = Figure(figsize=(width_mm / MM_AN_INCH, height_mm / MM_AN_INCH))
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width_mm), ylim=(height_mm, 0))
    axes.set_axis_off()
    axes.add_collection(_black(board, left, top))
    _ruler(axes, left, top + down_mm + QUIET_MM, int(across_mm), along_x=True)
    _ruler(axes, left - QUIET_MM, top, int(down_mm), along_x=False)
    axes.text(left, height_mm - EDGE_MM, _instruction(board), fontsize=7, va="bottom")
    return canvas


def _black(
    board: Board,
    left: float,
    top: float,
) -> PatchCollection:
    """The black parts of a board whose upper left corner is at a point, in mm."""
    side_x = MM_A_METRE * board.square_x_m
    side_y = MM_A_METRE * board.square_y_m
    patches = []
    for x, y, width, height in black_rectangles(board):
        corner = (left + x * side_x, top + y * side_y)
        patches.append(Rectangle(corner, width * side_x, height * side_y))
    return PatchCollection(patches, facecolor="black", linewidth=0, antialiased=False)


def _instruction(board: Board) -> str:
    """The line below the board: what it is, and what to do with it."""
    markers = f", {board.dictionary}" if board.kind == "charuco" else ""
    square_mm = MM_A_METRE * board.square_x_m
    across_mm = MM_A_METRE * board.width_m
    down_mm = MM_A_METRE * board.height_m
    what = f"{board.kind} {board.columns}x{board.rows}, {square_mm:g} mm{markers}"
    return (
        f"{what}: print at 100 %, glue it flat, measure the outer edges"
        f" ({across_mm:g} x {down_mm:g} mm wanted)"
    )


def _size_mm(paper: str) -> tuple[float, float]:
    if paper not in PAPER_MM:
        raise unknown_name("paper", paper, PAPER_MM)
    return PAPER_MM[paper]


def _require_fit(board: Board, paper: str) -> None:
    """Raises: ConfigError naming the largest square that fits."""
    width_mm, height_mm = _size_mm(paper)
    taken = 2 * EDGE_MM + RULER_MM + QUIET_MM
    free_x = width_mm - taken
    free_y = height_mm - taken
    largest = min(free_x / board.columns, free_y / board.rows)
    needed = MM_A_METRE * max(board.square_x_m, board.square_y_m)
    if needed > largest:
        raise ConfigError(
            f"{board.columns}x{board.rows} squares of {needed:g} mm do not fit on {paper}; at most"
            f" square_mm={int(10 * largest) / 10:g}, or another paper: {', '.join(PAPER_MM)}"
        )


def _ruler(
    axes: mpl.axes.Axes,
    x: float,
    y: float,
    length_mm: int,
    along_x: bool,
) -> None:
    """Draw millimetres from a point to the right, or downwards."""
    lines = []
    for mark in range(length_mm + 1):
        tick = _tick_mm(mark)
        if along_x:
            start = (x + mark, y)
            end = (x + mark, y + tick)
            number = (x + mark, y + tick + 0.5)
        else:
            start = (x, y + mark)
            end = (x - tick, y + mark)
            number = (x - tick - 0.5, y + mark)
        lines.append([start, end])
        if mark % 50 == 0:
            across, down = ("center", "top") if along_x else ("right", "center")
            axes.text(*number, f"{mark}", fontsize=5, ha=across, va=down)
    axes.add_collection(LineCollection(lines, colors="black", linewidths=0.25))


def _tick_mm(mark: int) -> float:
    """Length of a ruler's tick."""
    if mark % 10 == 0:
        return 5.0
    return 3.0 if mark % 5 == 0 else 1.5
