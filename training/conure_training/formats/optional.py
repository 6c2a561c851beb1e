"""The packages that other projects' formats need, imported when they are used."""

from importlib import import_module
from typing import Any

from conure_core.errors import ConfigError


def require_package(name: str, what: str) -> Any:
    """Import an optional package.

    Args:
        name: Of the module, such as "pyarrow.parquet".
        what: Begins the message: what needs it.

    Returns:
        The module.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{what} needs the package '{error.name}', which is not installed; pip install"
            " 'conure[formats]' brings it"
        ) from error
