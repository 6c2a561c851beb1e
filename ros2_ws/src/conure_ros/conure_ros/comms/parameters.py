"""ROS parameters of a node as a frozen dataclass: name, type, default, what it is for, what it may
be.
"""

import dataclasses
import math
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node

from conure_core.errors import ConfigError, unknown_name

T = TypeVar("T")
STANDARD = ("use_sim_time", "start_type_description_service")


def parameter(
    default: Any, description: str, low: float | None = None, high: float | None = None
) -> Any:
    """A dataclass field that is a ROS parameter; `low` and `high` bound a number, both included."""
    bounds = None if low is None or high is None else (low, high)
    return dataclasses.field(
        default=default, metadata={"description": description, "bounds": bounds}
    )


def declare(node: Node, schema: type[T]) -> T:
    """Declare every field of `schema` on the node, read-only, and read what was given for it.

    Raises: ConfigError for a value of another type or outside its bounds, or for a parameter that
    the node does not have: a misspelt limit must not look as if it held.
    """
    names = [field.name for field in dataclasses.fields(schema)]  # type: ignore[arg-type]
    for given in getattr(node, "_parameter_overrides", {}):
        if given not in (*names, *STANDARD) and not given.startswith("qos_overrides."):
            raise unknown_name(f"parameter of {node.get_name()}", given, names)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(schema):  # type: ignore[arg-type]
        try:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            value = node.declare_parameter(field.name, default, _descriptor(field)).value
        except ParameterException as error:
            raise ConfigError(f"parameter {field.name} of {node.get_name()}: {error}") from error
        if not _is_finite(value):
            raise ConfigError(
                f"parameter {field.name} of {node.get_name()} must be finite, got {value}"
            )
        values[field.name] = tuple(value) if isinstance(field.default, tuple) else value
    return schema(**values)


def _is_finite(value: Any) -> bool:
    """Whether there is no NaN and no infinity in it: a range of ROS lets NaN pass, and no limit
    holds against it.
    """
    values = value if isinstance(value, (list, tuple)) or hasattr(value, "typecode") else [value]
    return all(math.isfinite(one) for one in values if isinstance(one, float))


def _descriptor(field: "dataclasses.Field[Any]") -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=field.metadata["description"], read_only=True)
    if field.metadata["bounds"] is None:
        return descriptor
    low, high = field.metadata["bounds"]
    if isinstance(field.default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
        ]
    else:
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor
