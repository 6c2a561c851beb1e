"""A part of a fixture that slides, such as a drawer or the cap of a button."""

from collections.abc import Sequence
from dataclasses import dataclass

from conure_core.types import Array
from conure_sim.objects.fixtures import BoxPart, Colour


@dataclass(frozen=True)
class Slider:
    """A part on a prismatic joint."""

    parts: Sequence[BoxPart]
    """Boxes in the slider's own frame."""
    position: Array
    """The slider's origin in the body's frame with the joint at 0, (3,) m."""
    axis: tuple[float, float, float]
    """Direction of travel in the body's frame, a unit vector."""
    travel_m: float
    """Range of the joint, from 0 to here; negative: against the axis."""
    colour: Colour
    """Rgb in [0, 1] of the parts without a colour of their own."""
    mass_kg: float
    force_n: float
    """The largest force against its motion: friction, or that of the spring."""
    springs_back: bool = False
    """Whether a spring brings it back to 0."""
