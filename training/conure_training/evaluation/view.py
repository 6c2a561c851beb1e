"""`conure view`: one episode of an expert, a policy or a bundle, as video and contact sheet or in a
window.
"""

from pathlib import Path
from typing import Any

import numpy as np

from conure_core.config.loader import load_config
from conure_core.contract.spec import require_match
from conure_core.errors import ConfigError, ConureError
from conure_sim.envs.rollout import Driver
from conure_sim.tools.view import ViewConfig, make_environment, scripted_driver, show, view


def run(overrides: list[str]) -> None:
    """Show one episode: a video and a contact sheet, or a window."""
    config = load_config("conure_training.conf", "view", ViewConfig, overrides)
    env, driver = prepared(config)
    try:
        if config.gui:
            print("success" if show(config, env, driver) else "no success")
            return
        recording = view(config, env, driver)
    finally:
        env.close()
    outcome = "success" if recording.success else "no success"
    print(f"{outcome} after {recording.steps} steps, target {recording.target}")
    print(f"written: {Path(config.out) / config.name}.mp4 and .png")


def prepared(config: ViewConfig) -> tuple[Any, Driver]:
    """The environment and who acts in it.

    Raises: ConfigError for unknown names; DataError, BundleError for what is no policy;
    SpecMismatch if it is for another arm.
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
        from conure_training.rl.policy_file import load_policy  # torch, which experts do without
    except ModuleNotFoundError as error:
        raise ConureError(
            f"policy={path} needs '{error.name}': pip install 'conure[training]'"
        ) from error
    agent = load_policy(path)
    env = make_environment(config, agent.contract.observation.image.shape[0])
    require_match(env.contract, agent.contract, str(path))
    rng = np.random.default_rng(config.seed)

    def driver(env: Any) -> Any:
        agent.begin()
        return lambda observation: agent.act(
            observation,
            (config.noise_scale * rng.standard_normal(agent.noise_dim)).astype(np.float32),
        )

    return env, driver
