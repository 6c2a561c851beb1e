"""Words of the command line as Hydra's grammar wants them.

To Hydra `=`, `,`, `&`, `?`, `!` and `~` in a value have a meaning. To a person who gives a camera's
address or a file's path they have none.
"""

import os
from typing import Any

OPENING = ("[", "{", "'", '"')
"""Begins of a list, a mapping or a quoted text: where the rest is wrong, the error shall say so."""


def for_hydra(word: str, plain: Any) -> str:
    """Rewrite an override so that Hydra takes its value as the person meant it.

    A text's value is taken literally, quoted or not; so is any other value that Hydra's grammar
    does not know. `~/` begins at the home folder, and a key of a mapping that takes any key needs
    no `+`.

    Args:
        word: `key=value`, in Hydra's grammar or not.
        plain: The configuration as no word changes it: an OmegaConf node, for types and keys.

    Returns:
        The word for Hydra; one that is not `key=value` as it is.
    """
    key, equals, value = word.partition("=")
    if not equals or key.startswith("~"):
        return word
    node, is_new = _place(key.lstrip("+"), plain)
    if is_new and not key.startswith("+"):
        key = f"+{key}"
    return f"{key}={_value(value, _is_text(node))}"


def _value(text: str, is_text: bool) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Quote, QuotedString
    from hydra.errors import HydraException

    literal = at_home(text)
    quoted: str = QuotedString(text=literal, quote=Quote.single).with_quotes()
    try:
        parsed = OverridesParser.create().parse_override(f"key={literal}")
    except HydraException:
        return quoted if is_text or not text.startswith(OPENING) else literal
    is_as_written = isinstance(parsed._value, str | QuotedString) or text == "null"
    return quoted if is_text and not is_as_written else literal


def at_home(text: str) -> str:
    """A path that begins with `~/`, below the home folder; any other text, and where there is no
    home, the text as it is.
    """
    if text != "~" and not text.startswith("~/"):
        return text
    return os.path.expanduser(text)  # noqa: PTH111 - Path's raises where there is no home


def _is_text(node: Any) -> bool:
    from omegaconf import PathNode, StringNode

    return isinstance(node, StringNode | PathNode)


def _place(path: str, plain: Any) -> tuple[Any, bool]:
    """The node of a key, None where there is none yet; and whether it would be a new key of a
    mapping that takes any.
    """
    from omegaconf import DictConfig

    node = plain
    for part in path.split("."):
        if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
            return None, False
        if part not in node:
            return None, node is not plain and node._metadata.object_type is dict
        node = node._get_node(part)
    return node, False
