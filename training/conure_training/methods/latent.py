"""`method=latent`: SAC in the latent space of a frozen prior; see `latent_sac`."""

from pathlib import Path
from typing import Any

from conure_training.agents import LatentAgent, save_latent_agent
from conure_training.latent_sac import LatentSac
from conure_training.methods.on_features import load_features
from conure_training.rl_config import RlConfig
from conure_training.rl_loop import Method


def build(config: RlConfig, env: Any) -> Method:
    """Actor: the prior's frozen features. Critics: the simulator's state, and demonstrations in their batches."""
    features = load_features(config, env)
    prior = features.prior
    slots = prior.size.slots if config.attention else 0
    learner = LatentSac(
        prior.flow, features.dim, features.state_dim, prior.action_dim, config.latent, config.seed, slots=slots
    )

    def save(path: Path, note: dict[str, Any]) -> None:
        save_latent_agent(path, LatentAgent(prior, learner.averaged_policy), note)  # type: ignore[arg-type]

    return Method(learner, features.mixed_replay(config), features.observe, save)
