"""Hydra configuration of a verb, parsed at once into a frozen dataclass that checks itself."""

from typing import Any, TypeVar

from conure_core.errors import ConfigError, unknown_name

T = TypeVar("T")


def load_config(module: str, name: str, schema: type[T], overrides: list[str]) -> T:
    """`schema` filled from `module`'s `name`.yaml and the overrides of the command line.

    Raises: ConfigError for an unknown key (with the closest valid one), a value of the wrong type, or a bad override;
    SystemExit after printing the keys when `--help` is among the overrides.
    """
    from hydra import compose, initialize_config_module
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    words = [word for word in overrides if word not in ("-h", "--help")]
    filled: Any = OmegaConf.create()
    try:
        with initialize_config_module(module, version_base="1.3"):
            # The schema fills what the file leaves out, before the overrides, so that they may name any of its keys.
            filled = OmegaConf.merge(_writable(OmegaConf.structured(schema)), compose(config_name=name))
            ConfigStore.instance().store(name=f"_{name}", node=filled)
            merged = compose(config_name=f"_{name}", overrides=words)
        if len(words) < len(overrides):
            print(f"conure {name} [key=value ...], with these keys and defaults:\n\n{OmegaConf.to_yaml(merged)}")
            raise SystemExit(0)
        config: Any = OmegaConf.to_object(merged)
        return config
    except (OmegaConfBaseException, HydraException) as error:
        raise _explained(name, filled, words, error) from error


def _writable(node: Any) -> Any:
    """A nested frozen dataclass comes as a read-only node; overrides must still reach into it."""
    from omegaconf import DictConfig

    node._set_flag("readonly", None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            _writable(child)
    return node


def _explained(name: str, filled: Any, words: list[str], error: Exception) -> ConfigError:
    """Hydra's error as one line; an unknown key lists the valid ones at its place."""
    from omegaconf import DictConfig

    for word in words:
        node, path = filled, word.lstrip("+~").split("=")[0]
        for part in path.split("."):
            if not isinstance(node, DictConfig):
                break
            if part not in node:
                return ConfigError(str(unknown_name(f"key in '{path}' of conure {name}:", part, map(str, node))))
            node = node[part]
    cause = f" ({str(error.__cause__).splitlines()[0]})" if error.__cause__ else ""
    return ConfigError(f"conure {name}: {str(error).splitlines()[0]}{cause}")
