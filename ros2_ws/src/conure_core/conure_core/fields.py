"""A YAML file as a frozen dataclass: every field without a default there, none unknown, each of its type."""

import math
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from conure_core.errors import ConfigError, unknown_name

T = TypeVar("T")


def read_fields(path: Path, schema: type[T]) -> T:
    """`schema` filled from the YAML file at `path`; lists become tuples, a Path is taken relative to the file.

    Raises: ConfigError naming the file and the field, if the file is no mapping, a field is missing, unknown (with the
    closest valid one), of another type or length, or not finite; or if the dataclass itself refuses a value.
    """
    return checked_fields(read_yaml(path), schema, str(path), path.parent)


def read_yaml(path: Path) -> Any:
    """What a YAML file says. Raises: ConfigError naming the file, if it cannot be read."""
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error


def checked_fields(data: Any, schema: type[T], where: str, folder: Path) -> T:
    """`schema` filled from a mapping that came from `where`; paths are relative to `folder`. Raises: as read_fields."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must hold 'field: value' lines, got {type(data).__name__}")
    known: dict[str, Any] = {field.name: field for field in fields(schema)}  # type: ignore[arg-type]
    for name in data:
        if name not in known:
            raise ConfigError(f"{where}: {unknown_name('field', str(name), known)}")
    missing = [name for name, field in known.items() if field.default is MISSING and name not in data]
    if missing:
        raise ConfigError(f"{where}: missing fields {', '.join(missing)}")
    hints = get_type_hints(schema)
    values = {name: _checked(value, hints[name], f"{where}: {name}", folder) for name, value in data.items()}
    try:
        return schema(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _checked(value: Any, wanted: Any, where: str, folder: Path) -> Any:
    if get_origin(wanted) is tuple:
        return _checked_tuple(value, get_args(wanted), where, folder)
    if isinstance(wanted, type) and is_dataclass(wanted):
        return checked_fields(value, wanted, where, folder)
    if wanted is Path and isinstance(value, str | Path):
        return (folder / value).resolve()
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if wanted in (str, bool) and isinstance(value, wanted):
        return value
    if wanted is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    names = {float: "a finite number", int: "a whole number", str: "a text", bool: "true or false", Path: "a path"}
    raise ConfigError(f"{where} must be {names.get(wanted, wanted)}, got {value!r}")


def _checked_tuple(value: Any, kinds: tuple[Any, ...], where: str, folder: Path) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where} must be a list, got {value!r}")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise ConfigError(f"{where} must have {len(kinds)} values, got {len(value)}: {value}")
    return tuple(_checked(item, kind, where, folder) for item, kind in zip(value, kinds, strict=True))
