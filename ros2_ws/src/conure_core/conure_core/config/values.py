"""Checks of configuration values against the types and the bounds that their dataclass declares.

A bound is declared once, on the field: `seed: int = field(metadata=bounds(0, 100))`. Every whole
number without one must fit into 32 bits, every other number must be finite, and no text may hold
control characters.
"""

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from conure_core.errors import ConfigError
from conure_core.runtime.resume import CHANGES_NO_RESULT

LARGEST = 2**31 - 1


def bounds(
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
) -> dict[str, Any]:
    """Build a field's metadata that declares the range of its values, or of a list's items.

    Args:
        low: Lowest value, inclusive; None: a whole number's is -(2**31 - 1), others have none.
        high: Highest value, inclusive; None: a whole number's is 2**31 - 1, others have none.
        above: Lower limit, exclusive; None: there is none.

    Returns:
        The limits that were given, by name, for `field(metadata=...)`.
    """
    given = {"low": low, "high": high, "above": above}
    return {name: value for name, value in given.items() if value is not None}


SEED = bounds(0, LARGEST)
COUNT = bounds(1, LARGEST)
COUNT_OR_NONE = bounds(0, LARGEST)
SHARE = bounds(0.0, 1.0)
POSITIVE = bounds(above=0.0)
WORKERS = bounds(0, 1024) | CHANGES_NO_RESULT
BATCH = bounds(1, 10**15)
MAY_BE_INFINITE = {"infinite": True}


def check_values(
    values: Mapping[str, Any],
    schema: type[Any],
    where: str = "",
) -> None:
    """Refuse values that do not fit a schema.

    Args:
        values: Plain mappings, lists, numbers and texts; keys that the schema lacks are ignored.
        schema: A dataclass, whose types and `bounds` the values must keep.
        where: Begins the name of each key in a message, such as `method.`; empty at the top.

    Raises:
        ConfigError: Names the key, what it must be and what came.
    """
    hints = get_type_hints(schema)
    for field in fields(schema):
        name = field.name
        if name in values:
            _check(values[name], hints[name], field.metadata, f"{where}{name}")


def _check(value: Any, wanted: Any, limits: Mapping[str, Any], where: str) -> None:
    if get_origin(wanted) in (Union, types.UnionType):
        if value is None:
            return
        kinds = [kind for kind in get_args(wanted) if kind is not type(None)]
        wanted = kinds[0] if kinds else Any
    _require_kind(value, wanted, where)
    if is_dataclass(wanted) and isinstance(wanted, type) and isinstance(value, Mapping):
        check_values(value, wanted, f"{where}.")
    elif isinstance(value, Mapping):
        kind = (get_args(wanted) or (Any, Any))[1]
        for key, item in value.items():
            _check(item, kind, limits, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        _check_list(value, wanted, limits, where)
    elif isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, wanted, limits, where)


def _require_kind(value: Any, wanted: Any, where: str) -> None:
    """Refuse a text where a list or a mapping is wanted, and so on: an interpolation may lead
    anywhere.
    """
    kinds = {
        list: (list, tuple),
        tuple: (list, tuple),
        dict: (Mapping,),
        str: (str,),
        bool: (bool,),
    }
    kind = get_origin(wanted) or wanted
    if is_dataclass(kind):
        fits = not isinstance(kind, type) or isinstance(value, Mapping | kind)
    else:
        fits = kind not in kinds or isinstance(value, kinds[kind])
    if not fits:
        names = {
            list: "a list",
            tuple: "a list",
            str: "a text",
            bool: "true or false",
        }
        expected = names.get(kind, "a mapping of keys to values")
        raise ConfigError(f"{where} must be {expected}, got {value!r}")


def _check_list(
    value: list[Any] | tuple[Any, ...],
    wanted: Any,
    limits: Mapping[str, Any],
    where: str,
) -> None:
    kinds = get_args(wanted)
    has_length = get_origin(wanted) is tuple and kinds[-1] is not Ellipsis
    if has_length and len(value) != len(kinds):
        raise ConfigError(f"{where} must have {len(kinds)} values, got {len(value)}: {list(value)}")
    kind = kinds[0] if kinds else Any
    for index, item in enumerate(value):
        _check(item, kind, limits, f"{where}[{index}]")


def _check_text(value: str, where: str) -> None:
    codes = [ord(letter) for letter in value]
    if any(code < 32 or 0xD800 <= code < 0xE000 for code in codes):
        raise ConfigError(f"{where} must be plain text without control characters, got {value!r}")


def _check_number(
    value: float,
    wanted: Any,
    limits: Mapping[str, Any],
    where: str,
) -> None:
    whole = isinstance(value, int)
    largest = LARGEST if whole and wanted is int else math.inf
    low = limits.get("low", -largest)
    high = limits.get("high", largest)
    above = limits.get("above", -math.inf)
    may_be_infinite = limits.get("infinite", False)
    finite = whole or math.isfinite(value) or (may_be_infinite and not math.isnan(value))
    if finite and low <= value <= high and (value > above or above == -math.inf):
        return
    raise ConfigError(f"{where} must be {_expected(wanted is int, low, high, above)}, got {value}")


def _expected(whole: bool, low: float, high: float, above: float) -> str:
    parts = ["a whole number" if whole else "a finite number"]
    if above > -math.inf:
        parts.append(f"above {above:g}")
    elif low > -math.inf:
        parts.append(f"from {low:.10g}")
    if high < math.inf:
        parts.append(f"up to {high:.10g}")
    return " ".join(parts)
