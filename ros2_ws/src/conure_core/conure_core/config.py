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
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

    words = [word for word in overrides if word not in ("-h", "--help")]
    try:
        with initialize_config_module(module, version_base="1.3"):
            composed = compose(config_name=name, overrides=words)
        merged = OmegaConf.merge(_writable(OmegaConf.structured(schema)), composed)
        if len(words) < len(overrides):
            print(f"conure {name} [key=value ...], with these keys and defaults:\n\n{OmegaConf.to_yaml(merged)}")
            raise SystemExit(0)
        config: Any = OmegaConf.to_object(merged)
        return config
    except ConfigKeyError as error:
        raise unknown_name(f"key in conure {name}", str(error.full_key), OmegaConf.structured(schema)) from error
    except (OmegaConfBaseException, HydraException) as error:
        raise _explained(name, schema, words, error) from error


def _writable(node: Any) -> Any:
    """A nested frozen dataclass comes as a read-only node; overrides must still reach into it."""
    from omegaconf import DictConfig

    node._set_flag("readonly", None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            _writable(child)
    return node


def _explained(name: str, schema: type, words: list[str], error: Exception) -> ConfigError:
    """Hydra's error as one line; an unknown key lists the valid ones."""
    from omegaconf import OmegaConf

    valid = {str(key) for key in OmegaConf.structured(schema)}
    for word in words:
        key = word.lstrip("+~").split("=")[0]
        if key.split(".")[0] not in valid:
            return ConfigError(str(unknown_name(f"override of conure {name}:", key, valid)))
    return ConfigError(f"conure {name}: {str(error).splitlines()[0]}")
