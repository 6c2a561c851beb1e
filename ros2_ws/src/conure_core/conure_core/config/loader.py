"""Hydra configuration of a verb, parsed at once into a frozen dataclass that checks itself.

A group's option may be the path of a YAML file too. In such a file `preset` names the option that
it starts from. An option whose YAML starts from `_NAME` has a dataclass of its own for schema: a
module's `SCHEMAS` says, by group, which function ("module:function") gives it for NAME.
"""

import re
import sys
from collections.abc import Container, Hashable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar, cast

from conure_core.config.override_words import for_hydra
from conure_core.config.renamed_keys import with_current_names
from conure_core.config.values import check_values
from conure_core.errors import ConfigError, unknown_name

T = TypeVar("T")
QUOTES = "'\""
HELP = ("-h", "--help")
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


def load_config(
    module: str,
    name: str,
    schema: type[T],
    overrides: list[str],
) -> T:
    """Fill a schema from a YAML file of a module and the overrides of the command line.

    An old name of a key, as the module's `RENAMED` lists them, gets a hint on stderr.

    Args:
        module: Dotted name of the module whose folder holds the YAML files. Groups are found there,
            and in the modules that its `GROUPS` lists.
        name: Name of the YAML file without its ending; with spaces for underscores, the verb.
        schema: The frozen dataclass to fill; its defaults hold where the YAML says nothing.
        overrides: Words of the command line, `key=value`; with `--help` among them the keys are
            printed and nothing is filled.

    Returns:
        The filled schema, every value checked against type and bounds.

    Raises:
        ConfigError: An unknown key or option (names the closest valid one), a value of the wrong
            type, or a bad override.
        SystemExit: Help was asked for and has been printed.
    """
    from hydra import initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    words = [word for word in overrides if word not in HELP]
    wants_help = len(words) < len(overrides)
    for word in words:
        if not word.lstrip("+~").partition("=")[0]:
            raise ConfigError(
                f"expected key=value, got '{word}'; {_verb(name)} --help lists the keys"
            )
    plain: Any = OmegaConf.create()
    try:
        with initialize_config_module(module, version_base="1.3"):
            base = _stored(module, name, schema)
            plain, groups = _without_overrides(module, base, cast(Hashable, schema))
            words = _current(module, name, words, groups)
            words = [word if _chooses(word, groups) else for_hydra(word, plain) for word in words]
            choosing = [word for word in words if _chooses(word, groups)]
            options = [_chosen(word, groups) for word in choosing]
            words_of_hydra = [_chosen(word, groups) for word in words]
            try:
                merged = _composed(module, base, words_of_hydra, hydra_too=False)
            except (OmegaConfBaseException, HydraException):
                plain = _composed(module, base, options)  # its keys are the valid ones
                raise
            if wants_help:
                print(_help(_verb(name), merged, groups))
                raise SystemExit(0)
        return filled(schema, merged)
    except (OmegaConfBaseException, HydraException, *STUMBLES) as error:
        raise _explained(name, plain, words, error) from error


@cache
def _without_overrides(
    module: str,
    base: str,
    schema: Hashable,  # whose defaults `base` has: another schema is another configuration
) -> tuple[Any, dict[str, "_Group"]]:
    """The configuration as no word changes it, and its groups. Composing takes 0.1 s: once a
    process.
    """
    plain = _composed(module, base, [])
    return plain, _groups(base, plain, _schemas(module))


def _composed(
    module: str,
    base: str,
    overrides: list[str],
    hydra_too: bool = True,
) -> Any:
    """Compose with Hydra. The schema of an option is imported when the option is used."""
    from hydra import compose
    from hydra.core.config_store import ConfigStore
    from hydra.errors import MissingConfigException
    from omegaconf import OmegaConf

    schemas = _schemas(module)
    while True:
        try:
            return compose(base, overrides=overrides, return_hydra_config=hydra_too)
        except MissingConfigException as error:
            group, _, option = str(error.missing_cfg_file).rpartition("/_")
            if group not in schemas:
                raise
            place, _, function = schemas[group].partition(":")
            schema_of = getattr(import_module(place), function)
            node = _writable(OmegaConf.structured(schema_of(option)))
            ConfigStore.instance().store(group=group, name=f"_{option}", node=node)


def _schemas(module: str) -> Mapping[str, str]:
    schemas: Mapping[str, str] = getattr(import_module(module), "SCHEMAS", {})
    return schemas


def _current(
    module: str,
    name: str,
    words: list[str],
    groups: Mapping[str, "_Group"],
) -> list[str]:
    """The overrides under the names that their keys have now; hints go to stderr."""
    tables = getattr(import_module(module), "RENAMED", {})
    table = tables.get(name, ())
    options = {key: group.chosen for key, group in groups.items()}
    current, hints = with_current_names(words, table, options)
    for hint in hints:
        print(f"{_verb(name)}: {hint}", file=sys.stderr)
    return current


def filled(schema: type[T], merged: Any) -> T:
    """Fill a schema from a merged OmegaConf node, checked against its types and bounds.

    Args:
        schema: The dataclass that the node was made from.
        merged: The node, with defaults, YAML and overrides merged; interpolations are resolved.

    Returns:
        An instance of the schema.

    Raises:
        ConfigError: A value does not fit, or the schema itself refuses it.
        OmegaConfBaseException: A mandatory value is missing, or an interpolation leads nowhere.
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
        reason = " ".join(str(error).split())
        raise ConfigError(f"a value cannot be used: {reason}") from error


def _stored(module: str, name: str, schema: type[Any]) -> str:
    """The name under which Hydra finds the schema's defaults with `name`.yaml upon them."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    store = ConfigStore.instance()
    store.store(name=f"_{name}_schema", node=_writable(OmegaConf.structured(schema)))
    places = getattr(import_module(module), "GROUPS", ())
    search = [f"pkg://{place}" for place in places]
    node = {
        "defaults": [f"_{name}_schema", name, "_self_"],
        "hydra": {"searchpath": search},
    }
    store.store(name=f"_{name}", node=node)
    return f"_{name}"


def _verb(name: str) -> str:
    """The verb whose keys this YAML file has, as people write it: with a hyphen, as two words."""
    written = {
        re.sub(r"\W", "_", verb.name): verb.name for verb in entry_points(group="conure.commands")
    }
    return f"conure {written.get(name, name.replace('_', ' '))}"


def _writable(node: Any) -> Any:
    """A nested frozen dataclass comes as a read-only node, or as none where it has no default;
    overrides must still reach into it.
    """
    from omegaconf import DictConfig, OmegaConf

    node._set_flag("readonly", None)
    for key in node:
        child = node._get_node(key)
        if not isinstance(child, DictConfig) or child._is_none():
            continue
        kind = child._metadata.ref_type
        if child._is_missing() and is_dataclass(kind):
            child._set_value(OmegaConf.structured(kind))
        if not child._is_missing():
            _writable(child)
    return node


@dataclass(frozen=True)
class _Group:
    """A Hydra group where a configuration has it: `key` is its place, `override` what Hydra calls
    it there; `chosen`: the option without any override; `has_schemas`: each option has its own.
    """

    key: str
    override: str
    options: tuple[str, ...]
    chosen: str
    has_schemas: bool

    @property
    def name(self) -> str:
        """The folder that its options lie in."""
        return self.override.partition("@")[0]


def _groups(base: str, plain: Any, schemas: Container[str]) -> dict[str, _Group]:
    """The groups by their place: 'demos.randomization', which Hydra calls
    'randomization@demos.randomization'.
    """
    from hydra.core.global_hydra import GlobalHydra

    loader = GlobalHydra.instance().config_loader()
    found = {}
    for choice, chosen in plain.hydra.runtime.choices.items():
        name, _, place = str(choice).partition("@")
        if name.startswith("hydra/"):
            continue
        options = loader.get_group_options(name, config_name=base)
        key = place or name
        found[key] = _Group(
            key=key,
            override=str(choice),
            options=tuple(option for option in options if not option.startswith("_")),
            chosen=str(chosen),
            has_schemas=name in schemas,
        )
    return found


def _chooses(word: str, groups: Mapping[str, _Group]) -> bool:
    """Tell whether the override chooses a group's option."""
    key, equals, _ = word.partition("=")
    return key in groups and bool(equals)


def _chosen(word: str, groups: Mapping[str, _Group]) -> str:
    """The override as Hydra wants it, where it chooses a group's option. Raises: ConfigError for an
    unknown option.
    """
    if not _chooses(word, groups):
        return word
    key, _, value = word.partition("=")
    group = groups[key]
    option = _option(group, value.strip(QUOTES))
    return f"{group.override}={option}"


def _option(group: _Group, given: str) -> str:
    """The name of an option that is given by name or as a file. Raises: ConfigError listing those
    there are.
    """
    file = Path(given).expanduser()
    if given.endswith((".yaml", ".yml")) and file.is_file():
        return _stored_file(group, file)
    if given not in group.options:
        kind = group.name if group.has_schemas else f"{group.name} preset"
        error = unknown_name(kind, given, group.options)
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
    node = {"defaults": defaults, **data}
    if group.has_schemas:
        if start is None:
            raise ConfigError(f"{path}: expected preset: {'|'.join(group.options)}")
    else:
        node["name"] = path.stem
    place = str(path.resolve())
    option = "_" + re.sub(r"\W", "_", place)
    ConfigStore.instance().store(group=group.name, name=option, node=node)
    return option


def _help(verb: str, merged: Any, groups: Mapping[str, _Group]) -> str:
    import yaml
    from omegaconf import OmegaConf

    class OneLineAKey(yaml.SafeDumper):
        def represent_mapping(
            self,
            tag: str,
            mapping: Any,
            flow_style: bool | None = None,
        ) -> Any:
            return super().represent_mapping(tag, mapping, flow_style=False)

    plain = OmegaConf.to_container(merged)
    keys = yaml.dump(plain, Dumper=OneLineAKey, default_flow_style=None, sort_keys=False, width=120)
    choices = [
        f"{key}={'|'.join(group.options)}, or the path of a YAML file"
        for key, group in groups.items()
    ]
    title = f"{verb} [key=value ...], with these keys and defaults:\n"
    return "\n".join([title, keys, *choices])


def _explained(
    name: str,
    filled: Any,
    words: list[str],
    error: Exception,
) -> ConfigError:
    """Hydra's error as one line; an unknown key lists the valid ones at its place."""
    from omegaconf import DictConfig

    for word in words:
        node = filled
        path = word.lstrip("+~").split("=")[0]
        for part in path.split("."):
            if not isinstance(node, DictConfig) or (word.startswith("+") and part not in node):
                break
            if part not in node:
                keys = [str(key) for key in node if str(key) != "hydra"]
                unknown = unknown_name(f"key in '{path}' of {_verb(name)}:", part, keys)
                return ConfigError(str(unknown))
            node = node[part]
    cause = f" ({_first_line(error.__cause__, '')})" if error.__cause__ else ""
    said = _first_line(error, type(error).__name__)
    return ConfigError(f"{said}{cause}; {_verb(name)} --help lists the keys")


def _first_line(error: BaseException, otherwise: str) -> str:
    """The first line of an error's message, or the other text where there is none."""
    lines = str(error).splitlines() or [otherwise]
    return lines[0]
