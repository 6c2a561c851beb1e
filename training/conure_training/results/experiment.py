"""`python -m conure_training.results.experiment NAME key=value`: an experiment that is no verb, as
a command.

An experiment is a module of `conure_training.experiments` with `run(config) -> dict of figures`,
where the annotation of `config` is a frozen dataclass, and a YAML of its name in `conf`;
`figures.json` under `out` takes its figures.
"""

import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, ConureError
from conure_core.runtime.atomic_files import write_json

PACKAGE, CONF = "conure_training.experiments", "conure_training.conf"


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


def main() -> int:
    """Exit status: 0 done, 1 refused, 130 interrupted."""
    try:
        run_experiment(sys.argv[1], sys.argv[2:])
    except ConureError as error:
        print(f"conure: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
