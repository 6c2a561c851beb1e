"""`conure view`: show one episode of an expert, a policy or a bundle."""

from pathlib import Path
from typing import Any

import numpy as np

from conure_core.config.loader import load_config
from conure_core.contract.spec import require_match
from conure_core.errors import ConfigError, ConureError
from conure_sim.envs.rollout import Driver
from conure_sim.tools.view import ViewConfig, make_environment, scripted_driver, show, view

OUTCOMES = {True: "success", False: "no success"}


def run(overrides: list[str]) -> None:
    """Show one episode: a video and a contact sheet, or a window."""
    config = load_config("conure_training.conf", "view", ViewConfig, overrides)
    env, driver = _prepare(config)
    try:
        if config.gui:
            print(OUTCOMES[show(config, env, driver)])
            return
        recording = view(config, env, driver)
    finally:
        env.close()
    print(f"{OUTCOMES[recording.success]} after {recording.steps} steps, target {recording.target}")
    print(f"written: {Path(config.out) / config.name}.mp4 and .png")


def _prepare(config: ViewConfig) -> tuple[Any, Driver]:
    """Make the environment, and load the driver that acts in it.

    Raises: ConfigError for unknown names; DataError, BundleError for files that hold no policy;
    SpecMismatch for a policy of another arm.
    """
    scripted = scripted_driver(config)
    if scripted is not None:
        return make_environment(config), scripted
    path = Path(config.policy)
    if not path.exists():
        raise ConfigError(
            "policy must be expert, random, or the path of a policy or bundle; there is no"
            f" '{path}'"
        )
    try:
        # torch, which experts do without
        from conure_training.policies.policy import as_driver
        from conure_training.rl.policy_file import load_policy
    except ModuleNotFoundError as error:
        raise ConureError(
            f"policy={path} needs '{error.name}': pip install 'conure[training]'"
        ) from error
    policy = load_policy(path)
    env = make_environment(config, policy.contract.observation.image.shape[0])
    require_match(env.contract, policy.contract, str(path))
    return env, as_driver(policy, config.noise_scale, np.random.default_rng(config.seed))
