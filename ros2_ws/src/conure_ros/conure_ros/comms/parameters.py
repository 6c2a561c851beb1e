"""ROS parameters of a node as a frozen dataclass: name, type, default, description and range."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock

from conure_core.config.override_words import at_home
from conure_core.config.yaml_fields import Bounds
from conure_core.errors import ConfigError, unknown_name

T = TypeVar("T")
CLOCK = "use_sim_time"
STANDARD = (CLOCK, "start_type_description_service")


def parameter(
    default: Any,
    description: str,
    low: float | None = None,
    high: float | None = None,
    *,
    until_configured: bool = False,
) -> Any:
    """Declare a dataclass field that is a ROS parameter.

    Args:
        default: Default value; its type is the parameter's type. A tuple is an array.
        description: What it sets, with its unit; shown by `ros2 param describe`.
        low: Smallest value, included; None: no range. Give both ends or neither.
        high: Largest value, included.
        until_configured: It may change while the node is unconfigured; `reread` gives the new
            value. All others are read-only.
    """
    metadata: dict[str, Any] = {"description": description, "changes": until_configured}
    if low is not None and high is not None:
        metadata["bounds"] = Bounds(low, high)
    return dataclasses.field(default=default, metadata=metadata)


def declare(node: Node, schema: type[T]) -> T:
    """Declare every field of a dataclass as a parameter, read-only unless it may change until the
    node is configured, and read the given values. The node's clock is fixed too, and ignores times
    before zero.

    Args:
        node: The node that gets the parameters.
        schema: Dataclass whose fields are made by `parameter`.

    Returns:
        An instance with the given values, or the defaults.

    Raises:
        ConfigError: A value has another type, lies outside its range or is not finite; or a
            parameter was given that the node does not have. A misspelt limit must not look as if it
            held.
    """
    names = [field.name for field in dataclasses.fields(schema)]  # type: ignore[arg-type]
    for given in getattr(node, "_parameter_overrides", {}):
        if given not in (*names, *STANDARD) and not given.startswith("qos_overrides."):
            raise unknown_name(f"parameter of {node.get_name()}", given, names)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(schema):  # type: ignore[arg-type]
        try:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            _take_whole_numbers(node, field.name, default)
            value = node.declare_parameter(field.name, default, _descriptor(field)).value
        except ParameterException as error:
            raise ConfigError(f"parameter {field.name} of {node.get_name()}: {error}") from error
        if not _is_finite(value):
            raise ConfigError(
                f"parameter {field.name} of {node.get_name()} must be finite, got {value}"
            )
        if isinstance(value, str):
            value = at_home(value)
        values[field.name] = tuple(value) if isinstance(field.default, tuple) else value
    node.add_on_set_parameters_callback(_refuse_changes)
    changing = {field.name for field in dataclasses.fields(schema) if field.metadata["changes"]}  # type: ignore[arg-type]
    if changing:
        node.add_on_set_parameters_callback(partial(_refuse_when_configured, node, changing))
    _ignore_negative_clock(node)
    return schema(**values)


def reread(node: Node, given: T) -> T:
    """Read the parameters again that may change until the node is configured.

    Args:
        node: The node.
        given: The values so far, from `declare`.

    Returns:
        The values now.
    """
    changed = {}
    for field in dataclasses.fields(given):  # type: ignore[arg-type]
        if field.metadata["changes"]:
            value = node.get_parameter(field.name).value
            changed[field.name] = at_home(value) if isinstance(value, str) else value
    return dataclasses.replace(given, **changed)  # type: ignore[type-var]


def _refuse_when_configured(
    node: Any, names: set[str], changes: list[Parameter]
) -> SetParametersResult:
    """Refuse a change that would have no effect yet: the old value would hold, unseen."""
    asked = [change.name for change in changes if change.name in names]
    if asked and node.is_configured:
        reason = (
            f"{', '.join(asked)} can change only while {node.get_name()} is unconfigured;"
            " deactivate it and clean it up first"
        )
        return SetParametersResult(successful=False, reason=reason)
    return SetParametersResult(successful=True)


def _refuse_changes(changes: list[Parameter]) -> SetParametersResult:
    """Refuse another clock at run time: every stamp that came before would be of another time.

    A nameless parameter is refused too: rclpy takes it for a declared one.
    """
    names, why = [change.name for change in changes], ""
    if CLOCK in names:
        why = f"{CLOCK} cannot change while the node runs; start it again"
    elif "" in names:
        why = "a parameter must have a name"
    return SetParametersResult(successful=not why, reason=why)


def _ignore_negative_clock(node: Node) -> None:
    """Ignore times before zero on /clock: rclpy raises at them, which would end the process."""
    for subscription in node.subscriptions:
        if subscription.msg_type is Clock:
            subscription.callback = _clock_callback(node, subscription.callback)


def _clock_callback(node: Node, take: Callable[[Clock], None]) -> Callable[[Clock], None]:
    warned = False

    def take_unless_negative(message: Clock) -> None:
        nonlocal warned
        if message.clock.sec >= 0:
            take(message)
        elif not warned:
            warned = True
            node.get_logger().warning(
                f"/clock says {message.clock.sec} s; times before 0 are ignored"
            )

    return take_unless_negative


def _take_whole_numbers(node: Node, name: str, default: Any) -> None:
    """Let a person give 60 where 60.0 is declared; ROS tells the two types apart."""
    overrides = getattr(node, "_parameter_overrides", {})
    given = overrides.get(name)
    if given is None:
        return
    if isinstance(default, float) and given.type_ == Parameter.Type.INTEGER:
        overrides[name] = Parameter(name, value=float(given.value))
    several = isinstance(default, list) and default and isinstance(default[0], float)
    if several and given.type_ == Parameter.Type.INTEGER_ARRAY:
        overrides[name] = Parameter(name, value=[float(number) for number in given.value])


def _is_finite(value: Any) -> bool:
    """Whether it holds no NaN and no infinity. A ROS range lets NaN pass, and no limit holds
    against it.
    """
    values = value if isinstance(value, (list, tuple)) or hasattr(value, "typecode") else [value]
    return all(math.isfinite(one) for one in values if isinstance(one, float))


def _descriptor(field: "dataclasses.Field[Any]") -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=field.metadata["description"], read_only=not field.metadata["changes"]
    )
    bounds: Bounds | None = field.metadata.get("bounds")
    if bounds is None:
        return descriptor
    if isinstance(field.default, float):
        low, high = float(bounds.lower), float(bounds.upper)
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=low, to_value=high, step=0.0)
        ]
    else:
        low, high = int(bounds.lower), int(bounds.upper)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor
