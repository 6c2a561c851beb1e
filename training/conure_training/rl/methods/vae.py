"""`method=vae`: SAC from scratch on the frozen features of a VAE of the demonstrations' images."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_training.data.demonstrations import load_demonstrations
from conure_training.nn.networks import GaussianPolicy, seeded
from conure_training.policies.modules import save_module_agent
from conure_training.rl.config import RlConfig
from conure_training.rl.loop import Method
from conure_training.rl.methods.feature_sac import FeatureSac
from conure_training.rl.methods.image_vae import ImageVae, train_vae
from conure_training.rl.pretraining import trained_once
from conure_training.rl.replay import Field, Replay


def build(config: RlConfig, env: Any) -> Method:
    """Actor: the image's code and proprioception. Critics: the simulator's state, or the same features.

    The demonstrations give their images alone: from scratch means that no demonstrated action is learned from.
    """
    shapes = {name: space.shape for name, space in env.observation_space.items()}
    action_dim, proprio_dim = env.action_space.shape[0], shapes["proprio"][0]
    vae = _trained(config, proprio_dim)
    hidden = config.features.hidden_dims
    with seeded(config.seed):
        policy = GaussianPolicy(vae.feature_dim, action_dim, hidden)
    critic_dim = shapes["state"][0] if config.critic == "state" else vae.feature_dim
    learner = FeatureSac(policy, critic_dim, action_dim, config.features, config.seed, critic_input=config.critic)

    @torch.inference_mode()
    def observe(observation: dict[str, NDArray]) -> dict[str, Tensor]:
        image, proprio = (torch.from_numpy(observation[name])[None] for name in ("image", "proprio"))
        return {"features": vae(image, proprio)[0], "state": torch.from_numpy(observation["state"])}

    def save(path: Path, note: dict[str, Any]) -> None:
        sizes = {"code_dim": config.vae.code_dim, "hidden": list(hidden), "slots": 0, "radius": float("inf")}
        parts = {"encoder": vae, "policy": learner.averaged_policy}
        save_module_agent(path, "vae", env.contract, sizes, parts, note)

    fields = {"features": Field((vae.feature_dim,)), "state": Field(shapes["state"])}
    return Method(learner, Replay(fields, action_dim, config.replay), observe, save)


def _trained(config: RlConfig, proprio_dim: int) -> ImageVae:
    data = load_demonstrations(Path(config.demos))
    with seeded(config.seed):
        vae = ImageVae(config.image_size, proprio_dim, config.vae.code_dim)

    def train(module: ImageVae) -> None:
        train_vae(module, torch.from_numpy(data.image), torch.from_numpy(data.proprio), config.vae, config.seed)

    return trained_once(Path(config.out) / "pretrained.pt", str(asdict(config)), vae, train)
