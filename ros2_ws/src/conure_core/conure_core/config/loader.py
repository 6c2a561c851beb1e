"""Hydra configuration of a verb, parsed at once into a frozen dataclass that checks itself.

A group's option may be the path of a YAML file too. In such a file `preset` names the option that
it starts from.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from conure_core.config.values import check_values
from conure_core.errors import ConfigError, unknown_name

T = TypeVar("T")
QUOTES = "'\""
STUMBLES = (
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RecursionError,
)
"""What Hydra, OmegaConf and a schema raise on words and values that they did not foresee."""


def load_config(module: str, name: str, schema: type[T], overrides: list[str]) -> T:
    """`schema` filled from `module`'s `name`.yaml and the overrides of the command line.

    Groups are found in `module`, and in the modules that its `GROUPS` lists. Raises: ConfigError
    for an unknown key or option (with the closest valid one), a value of the wrong type, or a bad
    override; SystemExit after printing the keys when `--help` is among the overrides.
    """
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    words = [word for word in overrides if word not in ("-h", "--help")]
    for word in words:
        if not word.lstrip("+~").partition("=")[0]:
            raise ConfigError(
                f"expected key=value, got '{word}'; {_verb(name)} --help lists the keys"
            )
    plain: Any = OmegaConf.create()
    try:
        with initialize_config_module(module, version_base="1.3"):
            base = _stored(module, name, schema)
            plain = compose(base, return_hydra_config=True)
            groups = _groups(base, plain)
            merged = compose(base, overrides=[_chosen(word, groups) for word in words])
            if len(words) < len(overrides):
                print(_help(_verb(name), merged, groups))
                raise SystemExit(0)
        return filled(schema, merged)
    except (OmegaConfBaseException, HydraException, *STUMBLES) as error:
        raise _explained(name, plain, words, error) from error


def filled(schema: type[T], merged: Any) -> T:
    """The schema with the values of a merged OmegaConf node, checked against its types and bounds.

    Raises: ConfigError, also for what the schema itself stumbles over; OmegaConf's own errors.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    values: Any = OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)
    check_values(values, schema)
    try:
        config: Any = OmegaConf.to_object(merged)
        return config
    except OmegaConfBaseException:
        raise
    except STUMBLES as error:
        raise ConfigError(f"a value cannot be used: {' '.join(str(error).split())}") from error


def _stored(module: str, name: str, schema: type[Any]) -> str:
    """The name under which Hydra finds the schema's defaults with `name`.yaml upon them."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    store = ConfigStore.instance()
    store.store(name=f"_{name}_schema", node=_writable(OmegaConf.structured(schema)))
    search = [f"pkg://{place}" for place in getattr(import_module(module), "GROUPS", ())]
    node = {"defaults": [f"_{name}_schema", name, "_self_"], "hydra": {"searchpath": search}}
    store.store(name=f"_{name}", node=node)
    return f"_{name}"


def _verb(name: str) -> str:
    return f"conure {name.replace('_', ' ')}"


def _writable(node: Any) -> Any:
    """A nested frozen dataclass comes as a read-only node; overrides must still reach into it."""
    from omegaconf import DictConfig

    node._set_flag("readonly", None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            _writable(child)
    return node


@dataclass(frozen=True)
class _Group:
    """A Hydra group where a configuration has it: `key` is its place, `override` what Hydra calls
    it there.
    """

    key: str
    override: str
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """The folder that its options lie in."""
        return self.override.partition("@")[0]


def _groups(base: str, plain: Any) -> dict[str, _Group]:
    """The groups by their place: 'demos.randomization', which Hydra calls
    'randomization@demos.randomization'.
    """
    from hydra.core.global_hydra import GlobalHydra

    loader, found = GlobalHydra.instance().config_loader(), {}
    for choice in plain.hydra.runtime.choices:
        name, _, place = str(choice).partition("@")
        if not name.startswith("hydra/"):
            options = loader.get_group_options(name, config_name=base)
            own = tuple(option for option in options if not option.startswith("_"))
            found[place or name] = _Group(place or name, str(choice), own)
    return found


def _chosen(word: str, groups: Mapping[str, _Group]) -> str:
    """The override as Hydra wants it, where it chooses a group's option. Raises: ConfigError for an
    unknown option.
    """
    key, equals, value = word.partition("=")
    if key not in groups or not equals:
        return word
    return f"{groups[key].override}={_option(groups[key], value.strip(QUOTES))}"


def _option(group: _Group, given: str) -> str:
    """The name of an option that is given by name or as a file. Raises: ConfigError listing those
    there are.
    """
    if given.endswith((".yaml", ".yml")) and Path(given).is_file():
        return _stored_file(group, Path(given))
    if given not in group.options:
        error = unknown_name(f"{group.name} preset", given, group.options)
        raise ConfigError(f"{error} The path of a YAML file is an option too.")
    return given


def _stored_file(group: _Group, path: Path) -> str:
    """A YAML file as an option of the group; returns the option's name."""
    import yaml
    from hydra.core.config_store import ConfigStore

    try:
        data = yaml.safe_load(path.read_text()) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected keys with values, got {data!r}")
    start = data.pop("preset", None)
    defaults = ["_self_"] if start is None else [_option(group, str(start)), "_self_"]
    option = "_" + re.sub(r"\W", "_", str(path.resolve()))
    ConfigStore.instance().store(
        group=group.name, name=option, node={"defaults": defaults, **data, "name": path.stem}
    )
    return option


def _help(verb: str, merged: Any, groups: Mapping[str, _Group]) -> str:
    import yaml
    from omegaconf import OmegaConf

    class OneLineAKey(yaml.SafeDumper):
        def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:
            return super().represent_mapping(tag, mapping, flow_style=False)

    plain = OmegaConf.to_container(merged)
    keys = yaml.dump(plain, Dumper=OneLineAKey, default_flow_style=None, sort_keys=False, width=120)
    choices = [
        f"{key}={'|'.join(group.options)}, or the path of a YAML file"
        for key, group in groups.items()
    ]
    return "\n".join([f"{verb} [key=value ...], with these keys and defaults:\n", keys, *choices])


def _explained(name: str, filled: Any, words: list[str], error: Exception) -> ConfigError:
    """Hydra's error as one line; an unknown key lists the valid ones at its place."""
    from omegaconf import DictConfig

    for word in words:
        node, path = filled, word.lstrip("+~").split("=")[0]
        for part in path.split("."):
            if not isinstance(node, DictConfig) or (word.startswith("+") and part not in node):
                break
            if part not in node:
                keys = [str(key) for key in node if str(key) != "hydra"]
                return ConfigError(
                    str(unknown_name(f"key in '{path}' of {_verb(name)}:", part, keys))
                )
            node = node[part]
    cause = f" ({(str(error.__cause__).splitlines() or [''])[0]})" if error.__cause__ else ""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return ConfigError(f"{said}{cause}; {_verb(name)} --help lists the keys")
