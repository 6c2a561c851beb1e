"""An experiment that is not a verb, as a command: `python training/experiments/run.py experiment
NAME key=value`.

An experiment is a module of this package with `run(config) -> dict of metrics`, where the
annotation of `config` is a frozen dataclass, and a YAML of its name in `conf`; `figures.json` under
`out` takes its metrics.
"""

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_core.runtime.atomic_files import write_json

PACKAGE, CONF = "conure_experiments", "conure_experiments.conf"


def run_experiment(name: str, words: list[str], package: str = PACKAGE, conf: str = CONF) -> Path:
    """Run it; returns the path of its figures. Raises: ConfigError for an unknown experiment, key
    or value.
    """
    out = next((word.removeprefix("out=") for word in words if word.startswith("out=")), "")
    try:
        module = import_module(f"{package}.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"there is no experiment '{name}': '{error.name}' is not to be found"
        ) from error
    settings = [word for word in words if not word.startswith("out=")]
    config = load_config(conf, name, get_type_hints(module.run)["config"], settings)
    figures: dict[str, Any] = module.run(config)
    write_json(Path(out) / "figures.json", {"config": asdict(config), **figures})
    return Path(out) / "figures.json"


def run_words(words: list[str]) -> None:
    """Run the experiment that the first word names. Raises: ConfigError without a name."""
    if not words or "=" in words[0]:
        raise ConfigError("expected: experiment NAME key=value ..., got no name")
    print(f"written: {run_experiment(words[0], words[1:])}")
