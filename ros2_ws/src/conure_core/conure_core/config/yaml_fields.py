"""A YAML file as a frozen dataclass: every field without a default there, none unknown, each of its
type and range.
"""

import dataclasses
import math
import reprlib
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from conure_core.errors import ConfigError, unknown_name

T = TypeVar("T")
LARGEST_YAML_BYTES = 1_000_000
DEEPEST_YAML = 20
"""Levels of lists and mappings within each other."""
_BROKEN_VALUE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What PyYAML lets out for a value that is not of its own tag, such as `!!bool perhaps`."""


@dataclass(frozen=True)
class Bounds:
    """The range of a number, or of each number of a tuple; the lower end may be excluded.

    >>> str(Bounds(0.0, 1.0, above=True))
    '(0, 1]'
    """

    lower: float
    upper: float
    above: bool = False

    def holds(self, value: float) -> bool:
        """Tell whether a number lies within; NaN does not."""
        above_lower = self.lower < value if self.above else self.lower <= value
        return above_lower and value <= self.upper

    def __str__(self) -> str:
        bracket = "(" if self.above else "["
        return f"{bracket}{_short(self.lower)}, {_short(self.upper)}]"


def bounded(
    lower: float,
    upper: float,
    *,
    above: bool = False,
    default: Any = MISSING,
) -> Any:
    """Declare a dataclass field with a range; see `require_bounds`.

    Args:
        lower: Lowest number, in the unit of the field's name.
        upper: Highest number, inclusive.
        above: The lower end is excluded.
        default: The field's default; left out: the field is mandatory.

    Returns:
        What `dataclasses.field` gives.
    """
    return dataclasses.field(default=default, metadata={"bounds": Bounds(lower, upper, above)})


def bounds_of(schema: Any) -> dict[str, Bounds]:
    """Collect the ranges that a dataclass gives its fields, by name."""
    return {
        field.name: field.metadata["bounds"]
        for field in fields(schema)
        if "bounds" in field.metadata
    }


def require_bounds(instance: Any) -> None:
    """Refuse a dataclass's instance with a number outside its field's range; for __post_init__.

    Raises:
        ConfigError: Names the field, its range and what came.
    """
    for name, bounds in bounds_of(instance).items():
        value = getattr(instance, name)
        several = isinstance(value, Iterable)
        for number in value if several else (value,):
            if not bounds.holds(number):
                each = "each of " if several else ""
                raise ConfigError(f"{each}{name} must be in {bounds}, got {_brief(value)}")


def read_fields(path: Path, schema: type[T]) -> T:
    """Fill a dataclass from a YAML file; lists become tuples.

    Args:
        path: The file, one mapping of fields to values; paths in it are relative to its folder.
        schema: The dataclass. Fields without a default must be in the file.

    Returns:
        An instance of the schema.

    Raises:
        ConfigError: The file is not a mapping, a field is missing, unknown (names the closest valid
            one), of another type or length, or not finite; or the dataclass refuses a value. Names
            file and field.
    """
    return checked_fields(read_yaml(path), schema, str(path), path.parent)


def read_mapping(path: Path) -> dict[Any, Any]:
    """Read a YAML file of 'field: value' lines.

    Raises:
        ConfigError: It is not one, or cannot be read; names the file.
    """
    return _mapping(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        ConfigError: It cannot be read, is too large or too deep, or gives a key twice; names the
            file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_YAML_BYTES + 1)
        if len(content) > LARGEST_YAML_BYTES:
            raise ConfigError(
                f"{path} has more than {LARGEST_YAML_BYTES} bytes; give the file of a robot or"
                " an arm"
            )
        return yaml.load(content.decode(), Loader=_Loader)
    except (OSError, yaml.YAMLError, *_BROKEN_VALUE) as error:
        reason = " ".join(str(error).split())[:500]
        raise ConfigError(f"{path} cannot be read as YAML: {reason}") from error


class _Loader(yaml.SafeLoader):
    """Refuses what makes small files large (merged keys, depth), and a key given twice, of which
    one would be lost.
    """

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > DEEPEST_YAML:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {DEEPEST_YAML} levels", problem_mark=mark
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def flatten_mapping(self, node: Any) -> None:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(
                    problem="'<<' is not read; write the keys out", problem_mark=key.start_mark
                )
            if isinstance(key.value, str) and key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"'{key.value}' is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key.value, str) else id(key))


def path_beside(
    folder: Path,
    text: str | Path,
    where: str,
) -> Path:
    """Resolve a path that a file names.

    Args:
        folder: Where a relative path starts.
        text: The path; an absolute one ignores the folder.
        where: Says in a message where the text comes from, such as "FILE: urdf".

    Returns:
        The absolute path, links followed; nothing need exist there.

    Raises:
        ConfigError: No file's name can be such a text, or its links go in a circle.
    """
    try:
        path = (folder / text).resolve()
        path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        # Too long, of no encoding, or links in a circle.
        reason = " ".join(str(error).split())[:300]
        if isinstance(error, UnicodeError):
            reason = type(error).__name__
        raise ConfigError(f"{where} must be a path, got {_brief(str(text))} ({reason})") from error
    return path


def checked_fields(
    data: Any,
    schema: type[T],
    where: str,
    folder: Path,
) -> T:
    """Fill a dataclass from a mapping that was read before.

    Args:
        data: The mapping; anything else is refused.
        schema: The dataclass. Fields without a default must be in the mapping.
        where: Says in a message where the mapping comes from, such as the file.
        folder: Where relative paths in it start.

    Returns:
        An instance of the schema.

    Raises:
        ConfigError: As in `read_fields`.
    """
    data = _mapping(data, where)
    known: dict[str, Any] = {field.name: field for field in fields(schema)}  # type: ignore[arg-type]
    for name in data:
        if name not in known:
            raise ConfigError(f"{where}: {unknown_name('field', _brief(name, plain=True), known)}")
    missing = [
        name for name, field in known.items() if field.default is MISSING and name not in data
    ]
    if missing:
        raise ConfigError(f"{where}: missing fields {', '.join(missing)}")
    hints = get_type_hints(schema)
    values = {
        name: _checked(value, hints[name], f"{where}: {name}", folder)
        for name, value in data.items()
    }
    try:
        return schema(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _mapping(data: Any, where: str) -> dict[Any, Any]:
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must hold 'field: value' lines, got {type(data).__name__}")
    return data


def _checked(value: Any, wanted: Any, where: str, folder: Path) -> Any:
    if get_origin(wanted) is tuple:
        return _checked_tuple(value, get_args(wanted), where, folder)
    if isinstance(wanted, type) and is_dataclass(wanted):
        return checked_fields(value, wanted, where, folder)
    if wanted is Path and isinstance(value, str | Path):
        return path_beside(folder, value, where)
    if wanted is float and _is_finite(value):
        return float(value)
    if wanted in (str, bool) and isinstance(value, wanted):
        return value
    if wanted is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    names = {
        float: "a finite number",
        int: "a whole number",
        str: "a text",
        bool: "true or false",
        Path: "a path",
    }
    raise ConfigError(
        f"{where} must be {names.get(wanted, wanted)}, got"
        f" {_brief(value)}{_exponent_hint(value, wanted)}"
    )


def _checked_tuple(
    value: Any,
    kinds: tuple[Any, ...],
    where: str,
    folder: Path,
) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where} must be a list, got {_brief(value)}")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise ConfigError(
            f"{where} must have {len(kinds)} values, got {len(value)}: {_brief(value)}"
        )
    pairs = zip(value, kinds, strict=True)
    return tuple(_checked(item, kind, where, folder) for item, kind in pairs)


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # a whole number beyond the largest float
        return False


def _exponent_hint(value: Any, wanted: Any) -> str:
    """YAML 1.1 takes 1e-3 for a text."""
    if wanted is not float or not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    return f"; write {number!r}" if math.isfinite(number) else ""


def _brief(value: Any, plain: bool = False) -> str:
    """A value for a message, cut short: aliases can make a small file print as gigabytes."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = 100
    shown.maxlist = shown.maxtuple = 12
    shown.maxlevel = 2
    try:
        text = shown.repr(value)
    except ValueError:  # Python prints no whole number of more than 4300 digits
        return "a number of thousands of digits"
    return text.strip("'") if plain and isinstance(value, str) else text


def _short(number: float) -> str:
    return f"{number:.10g}"


def tuples_as_lists(value: Any) -> Any:
    """Make nested mappings and lists such as YAML and JSON give them back."""
    if isinstance(value, dict):
        return {key: tuples_as_lists(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [tuples_as_lists(item) for item in value]
    return value
