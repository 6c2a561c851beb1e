"""The text of a message type and of all types it uses, as MCAP's `ros2msg` schemas require."""

import re
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from conure_core.errors import ConfigError

RULE = "=" * 80
FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[.*?\])?\s+[A-Za-z]\w*", re.MULTILINE)
PRIMITIVES = {
    "bool", "byte", "char", "float32", "float64", "string", "wstring",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}  # fmt: skip


def schema_text(type_name: str) -> str:
    """The definition of `package/msg/Name`, then that of each type it uses, under `MSG:
    package/Name` headings.

    Raises: ConfigError if a package's definitions are not installed.
    """
    package, _, name = type_name.partition("/msg/")
    parts, known, open_types = [_definition(package, name)], {(package, name)}, [(package, name)]
    while open_types:
        owner, current = open_types.pop(0)
        for used in _uses(owner, _definition(owner, current)):
            if used not in known:
                known.add(used)
                open_types.append(used)
                parts.append(f"{RULE}\nMSG: {used[0]}/{used[1]}\n{_definition(*used)}")
    return "\n".join(parts)


def _definition(package: str, name: str) -> str:
    try:
        path = Path(get_package_share_directory(package)) / "msg" / f"{name}.msg"
        return path.read_text()
    except (PackageNotFoundError, OSError) as error:
        raise ConfigError(
            f"the definition of {package}/msg/{name} is not installed: {error}"
        ) from error


def _uses(package: str, text: str) -> list[tuple[str, str]]:
    """Package and name of every type among the fields of a definition, without the builtin ones."""
    lines = "\n".join(line.split("#", 1)[0] for line in text.splitlines())
    names = [name for name in FIELD.findall(lines) if name not in PRIMITIVES]
    return [
        (name.split("/")[0], name.split("/")[-1]) if "/" in name else (package, name)
        for name in names
    ]
