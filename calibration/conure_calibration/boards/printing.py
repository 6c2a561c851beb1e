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
EDGE_MM = 5.0
"""What printers leave white."""
RULER_MM = 9.0
"""Height of a ruler with its numbers."""
QUIET_MM = 3.0
"""White between board and ruler."""


def write_pdf(path: Path, board: Board, paper: str) -> None:
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
    """Draw a board on paper with a ruler below and one at its left; see `write_pdf`."""
    width_mm, height_mm = _size_mm(paper)
    across_mm = 1000 * board.width_m
    down_mm = 1000 * board.height_m
    _require_fit(board, paper)
    left = RULER_MM + (width_mm - across_mm - RULER_MM) / 2
    top = (height_mm - down_mm - RULER_MM) / 2
    canvas = Figure(figsize=(width_mm / MM_AN_INCH, height_mm / MM_AN_INCH))
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width_mm), ylim=(height_mm, 0))
    axes.set_axis_off()
    patches = []
    for x, y, width, height in black_rectangles(board):
        side_x = 1000 * board.square_x_m
        side_y = 1000 * board.square_y_m
        place = (left + x * side_x, top + y * side_y)
        patches.append(Rectangle(place, width * side_x, height * side_y))
    axes.add_collection(PatchCollection(patches, facecolor="black", linewidth=0, antialiased=False))
    _ruler(axes, left, top + down_mm + QUIET_MM, int(across_mm), along_x=True)
    _ruler(axes, left - QUIET_MM, top, int(down_mm), along_x=False)
    text = (
        f"{board.kind} {board.columns}x{board.rows}, {1000 * board.square_x_m:g} mm"
        f"{', ' + board.dictionary if board.kind == 'charuco' else ''}: print at 100 %, glue it"
        f" flat, measure the outer edges ({across_mm:g} x {down_mm:g} mm wanted)"
    )
    axes.text(left, height_mm - EDGE_MM, text, fontsize=7, va="bottom")
    return canvas


def _size_mm(paper: str) -> tuple[float, float]:
    if paper not in PAPER_MM:
        raise unknown_name("paper", paper, PAPER_MM)
    return PAPER_MM[paper]


def _require_fit(board: Board, paper: str) -> None:
    """Raises: ConfigError naming the largest square that fits."""
    width_mm, height_mm = _size_mm(paper)
    free_x = width_mm - 2 * EDGE_MM - RULER_MM - QUIET_MM
    free_y = height_mm - 2 * EDGE_MM - RULER_MM - QUIET_MM
    largest = min(free_x / board.columns, free_y / board.rows)
    needed = 1000 * max(board.square_x_m, board.square_y_m)
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
        tick = 5.0 if mark % 10 == 0 else 3.0 if mark % 5 == 0 else 1.5
        if along_x:
            lines.append([(x + mark, y), (x + mark, y + tick)])
        else:
            lines.append([(x, y + mark), (x - tick, y + mark)])
        if mark % 50 == 0:
            place = (x + mark, y + tick + 0.5) if along_x else (x - tick - 0.5, y + mark)
            across, down = ("center", "top") if along_x else ("right", "center")
            axes.text(*place, f"{mark}", fontsize=5, ha=across, va=down)
    axes.add_collection(LineCollection(lines, colors="black", linewidths=0.25))
