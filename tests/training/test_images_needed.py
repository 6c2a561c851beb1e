"""What learns from images, or acts on them, refuses an environment without any."""

import numpy as np
import pytest

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_sim.envs.tabletop import TabletopEnv
from conure_training.data.environments import make_environment
from conure_training.policies.policy import as_batch
from conure_training.prior.model import load_prior
from conure_training.rl.train import RunConfig, build_method

from .toy_runs import CONF


@pytest.mark.parametrize("method", ["latent", "scratch", "bc"])
def test_a_learner_on_images_refuses_an_environment_without(method: str) -> None:
    config = load_config(CONF, "rl", RunConfig, [f"method={method}"])
    env = make_environment("Lift", config, images=False)
    with pytest.raises(ConfigError, match=f"method {method} .*images=True"):
        build_method(config, env)
    env.close()


def test_a_policy_on_images_refuses_an_observation_without(prior) -> None:
    env = TabletopEnv(images=False)
    observation, _ = env.reset(seed=0)
    for act in (as_batch, load_prior(prior).features):
        with pytest.raises(ConfigError, match=r"only \['proprio', 'state'\].*images=True"):
            act(observation)
    env.step(np.zeros(7))
