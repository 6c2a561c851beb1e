"""`report.html`: a calibration on one page that opens from disk and fetches nothing."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined

from conure_calibration.results.result import Result
from conure_core.runtime.atomic_files import write_text
from conure_core.runtime.requirement import Requirement
from conure_core.types import Array, Image

REPORT = "report.html"
SEEN_RGB = (0, 200, 0)
PREDICTED_RGB = (220, 0, 0)
COLOURS = "corners as seen (green) and as predicted (red)"


@dataclass(frozen=True)
class Figure:
    """A plot or a picture with a caption."""

    caption: str
    svg: str = ""
    """The plot; empty for a picture."""
    picture: str = ""
    """The picture as a data URI; empty for a plot."""


def picture(pixels: Image, caption: str) -> Figure:
    """Embed an image.

    Args:
        pixels: RGB, shape (height, width, 3).
        caption: What it shows.
    """
    bgr = pixels[..., ::-1]
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])
    text = base64.b64encode(encoded.tobytes()).decode()
    return Figure(caption, picture=f"data:image/jpeg;base64,{text}")


def draw_circles(
    pixels: Image,
    places_px: Array,
    rgb: tuple[int, int, int],
) -> None:
    """Draw circles into an image.

    Args:
        pixels: RGB, shape (height, width, 3).
        places_px: Centres, shape (n, 2).
        rgb: Their colour.
    """
    for x, y in np.rint(places_px).astype(int).tolist():
        cv2.circle(pixels, (x, y), 4, rgb, 1)


def rounded(value: float, deviation: float) -> str:
    """Write a number with the digits that its deviation leaves it.

    Args:
        value: The number, or a deviation or an end of an interval itself.
        deviation: Standard deviation; its second digit is the last one that is written.

    >>> rounded(532.8131, 2.086), rounded(-0.046358, 0.00159)
    ('532.8', '-0.0464')
    """
    if not (np.isfinite(value) and np.isfinite(deviation) and deviation > 0):
        return f"{value:.5g}"
    decimals = 1 - int(np.floor(np.log10(deviation)))
    return f"{round(value, decimals):.{max(decimals, 0)}f}"


def write_page(
    path: Path,
    result: Result,
    checks: Sequence[Requirement],
    figures: Sequence[Figure],
) -> None:
    """Write the page of a result.

    Args:
        path: The HTML file.
        result: Numbers and verdict.
        checks: What was looked at, what was found, and whether it is good enough.
        figures: In the order of the page.
    """
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["rounded"] = rounded
    template = environment.from_string((files(__package__) / "template.html").read_text())
    write_text(path, template.render(result=result, checks=checks, figures=figures))
