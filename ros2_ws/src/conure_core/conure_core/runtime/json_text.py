"""The one writer of JSON: what JSON cannot hold, NaN and infinities, never gets into a file or a
message.
"""

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(data: Any, *, strict: bool = False, **layout: Any) -> str:
    """Write data as JSON.

    Args:
        data: Mappings, lists, texts, numbers, True, False or None.
        strict: Refuse numbers that are not finite; otherwise they become null.
        **layout: As `json.dumps` takes it: indent, sort_keys, default, ensure_ascii.

    Returns:
        The text, without a line end.

    Raises:
        TypeError: The data holds something else.
        ValueError: A number is not finite, and `strict`.

    >>> json_text({"loss": math.nan, "steps": 3})
    '{"loss": null, "steps": 3}'
    """
    try:
        return json.dumps(data, allow_nan=False, **layout)
    except ValueError:
        if strict:
            raise
    convert = layout.pop("default", None)
    if convert is not None:
        layout["default"] = lambda value: finite(convert(value))
    return json.dumps(finite(data), allow_nan=False, **layout)


def finite(data: Any) -> Any:
    """Replace numbers that are not finite, in nested mappings and lists too, by None."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {name: finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return data
