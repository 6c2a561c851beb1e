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


def run_experiment(
    name: str,
    words: list[str],
    package: str = PACKAGE,
    conf: str = CONF,
) -> Path:
    """Run an experiment, and write its metrics to `figures.json`.

    Args:
        name: Name of its module.
        words: Settings as key=value, and out=FOLDER; without one: the working folder.
        package: Where the module is.
        conf: Where its YAML is.

    Returns:
        The path of `figures.json`.

    Raises:
        ConfigError: The experiment, a key or a value is unknown.
    """
    outs = [word.removeprefix("out=") for word in words if word.startswith("out=")]
    out = Path(outs[0] if outs else "")
    try:
        module = import_module(f"{package}.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"there is no experiment '{name}': '{error.name}' is not to be found"
        ) from error
    settings = [word for word in words if not word.startswith("out=")]
    config_type = get_type_hints(module.run)["config"]
    config = load_config(conf, name, config_type, settings)
    metrics: dict[str, Any] = module.run(config)
    path = out / "figures.json"
    write_json(path, {"config": asdict(config), **metrics})
    return path


def run_words(words: list[str]) -> None:
    """Run the experiment that the first word names. Raises: ConfigError without a name."""
    if not words or "=" in words[0]:
        raise ConfigError("expected: experiment NAME key=value ..., got no name")
    path = run_experiment(words[0], words[1:])
    print(f"written: {path}")
