"""`report.html`: a calibration on one page that opens from disk and fetches nothing."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
from jinja2 import Environment, StrictUndefined

from conure_calibration.results.result import Result
from conure_core.runtime.atomic_files import write_text
from conure_core.runtime.requirement import Requirement
from conure_core.types import Image

REPORT = "report.html"


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
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    text = base64.b64encode(encoded.tobytes()).decode()
    return Figure(caption, picture=f"data:image/jpeg;base64,{text}")


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
    environment.filters["number"] = lambda value: f"{value:.5g}"
    template = environment.from_string((files(__package__) / "template.html").read_text())
    write_text(path, template.render(result=result, checks=checks, figures=figures))
