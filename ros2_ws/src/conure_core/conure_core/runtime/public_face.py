"""A package's public names, each imported from its module at first use."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def at_first_use(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the functions that import a package's names when they are first used.

    Args:
        package: The package, `__name__` in its `__init__.py`.
        homes: The module of each name, relative to the package.

    Returns:
        The package's `__getattr__` and `__dir__`, see PEP 562.

    Example:
        __getattr__, __dir__ = at_first_use(__name__, {"Arm": "robot.arm"})
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names
