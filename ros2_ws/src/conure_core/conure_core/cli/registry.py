"""The verbs that are installed."""

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from conure_core.errors import ConfigError, ConureError

GROUP = "conure.commands"
ANYWHERE = f"{GROUP}.anywhere"
"""The group of verbs that must work even where the current folder was deleted."""


@cache
def verbs() -> dict[str, EntryPoint]:
    """Find the verbs of all installed distributions by name. Nobody else's replaces one of Conure's
    own.

    Raises:
        ConureError: There are none.
    """
    offered = [*entry_points(group=GROUP), *entry_points(group=ANYWHERE)]
    own_last = sorted(offered, key=lambda verb: verb.module.startswith("conure_"))
    found = {verb.name: verb for verb in own_last}
    if not found:
        raise ConureError(
            f"expected installed entry points '{GROUP}', found none: the installation is older"
            " than these sources; run make setup, or in their folder pip install -e ."
        )
    return dict(sorted(found.items()))


def family(word: str) -> list[str]:
    """The verbs of two words that begin with this one."""
    return [name for name in verbs() if name.startswith(f"{word} ")]


def summary(verb: EntryPoint) -> str:
    """Read the first line of the docstring of a verb's function from its source: imports take
    seconds.

    Where there is no such line, it is what the entry point names.
    """
    package, *parts = verb.module.split(".")
    spec = find_spec(package)
    docstring = re.compile(rf'^def {verb.attr}\(.*\n    """(.+?)\.?(?:"""|$)', re.MULTILINE)
    for folder in (spec and spec.submodule_search_locations) or []:
        source = Path(folder, *parts).with_suffix(".py")
        found = docstring.search(source.read_text()) if source.is_file() else None
        if found:
            return found[1]
    return verb.value


def load_verb(name: str) -> Callable[[list[str]], None]:
    """Import what a verb runs.

    Raises:
        ConureError: A package that it needs is missing, or there is no current folder.
    """
    verb = verbs()[name]
    if verb.group != ANYWHERE:
        _require_current_folder()
    try:
        run: Callable[[list[str]], None] = verb.load()
    except ModuleNotFoundError as error:
        extras = ",".join(verb.extras)
        remedy = f"pip install 'conure[{extras}]', or make setup" if extras else "install it"
        raise ConureError(f"'conure {name}' needs '{error.name}': {remedy}") from error
    return run


def _require_current_folder() -> None:
    """Libraries abort without a word where there is none. Raises: ConfigError."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the current folder was deleted; change into another one") from None
