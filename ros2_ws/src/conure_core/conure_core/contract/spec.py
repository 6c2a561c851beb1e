"""The contract between environment, policy and robot: names, shapes, types, units, frames, rate.

Two contracts agree when they are equal. `mismatches` names every field in which they are not, so
that a refusal tells a person which side to change.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conure_core.config.yaml_fields import checked_fields, tuples_as_lists
from conure_core.contract.action import ACTION_MEANING
from conure_core.errors import ConfigError, SpecMismatch

LARGEST_ARRAY = 2**26
"""Values: an image of 4,096 x 4,096 pixels has fewer."""


@dataclass(frozen=True)
class FieldSpec:
    """One array of an observation or an action."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    unit: str
    frame: str

    def __post_init__(self) -> None:
        if (
            not all(1 <= size <= LARGEST_ARRAY for size in self.shape)
            or math.prod(self.shape) > LARGEST_ARRAY
        ):
            raise SpecMismatch(
                f"{self.name}: shape must be of 1 to {LARGEST_ARRAY} values in all, got"
                f" {self.shape}"
            )


@dataclass(frozen=True)
class ObservationSpec:
    """The observation of one tick: the camera image and the proprioception, `history` ticks of
    them.
    """

    image: FieldSpec
    proprio: FieldSpec
    history: int = 1


@dataclass(frozen=True)
class ActionSpec:
    """Normalized end-effector delta: (dx, dy, dz, rx, ry, rz, gripper), each in [-1, 1].

    An action of 1 moves the tool by `translation_m` or turns it by `rotation_rad` in one control
    period.
    """

    values: FieldSpec
    translation_m: float
    rotation_rad: float
    meaning: str = ACTION_MEANING


@dataclass(frozen=True)
class Contract:
    """Everything a bundle and a robot must agree on before the arm may move."""

    robot: str
    joint_names: tuple[str, ...]
    gripper_joint: str
    base_frame: str
    tool_frame: str
    control_period_s: float
    observation: ObservationSpec
    action: ActionSpec

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, ready for JSON."""
        return tuples_as_lists(dataclasses.asdict(self))

    @staticmethod
    def from_dict(data: dict[str, Any]) -> "Contract":
        """Read a contract from plain values; inverse of `to_dict`.

        Raises:
            SpecMismatch: A field is missing, unknown or of another type.
        """
        try:
            return checked_fields(data, Contract, "contract", Path())
        except (ConfigError, SpecMismatch) as error:
            raise SpecMismatch(
                f"the contract cannot be read: {error}; export the bundle again"
            ) from error


def mismatches(expected: Contract, actual: Contract) -> list[str]:
    """List every field in which two contracts differ.

    Args:
        expected: The contract that is asked for.
        actual: The contract that is there.

    Returns:
        Texts such as 'control_period_s: expected 0.1, got 0.05', sorted by field; empty: they are
        equal.
    """
    left = _flatten(expected.to_dict())
    right = _flatten(actual.to_dict())
    return [
        f"{name}: expected {left.get(name, 'nothing')}, got {right.get(name, 'nothing')}"
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    ]


def require_match(
    expected: Contract,
    actual: Contract,
    what: str,
) -> None:
    """Refuse a contract that differs.

    Args:
        expected: The contract that is asked for.
        actual: The contract that is there.
        what: Begins the message: whose contract `actual` is, such as "the bundle".

    Raises:
        SpecMismatch: They differ; names every field.
    """
    differences = mismatches(expected, actual)
    if differences:
        raise SpecMismatch(f"{what} does not fit: " + "; ".join(differences))


def _flatten(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        name = f"{prefix}{key}"
        flat.update(_flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat
