"""`method=scratch`: SAC on images, without demonstrations or prior; see `sac`."""

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_training.policies.policy import ImageAgent, save_image_agent
from conure_training.rl.config import RlConfig
from conure_training.rl.loop import Method
from conure_training.rl.methods.sac import Sac
from conure_training.rl.replay import Field, Replay


def build(config: RlConfig, env: Any) -> Method:
    """Actor: image and proprioception, its encoder trained with it. Critics: the simulator's state."""
    shapes = {name: space.shape for name, space in env.observation_space.items()}
    action_dim = env.action_space.shape[0]
    learner = Sac(config.image_size, shapes["proprio"][0], shapes["state"][0], action_dim, config.scratch, config.seed)
    fields = {name: Field(shape, torch.uint8 if name == "image" else torch.float32) for name, shape in shapes.items()}

    def observe(observation: dict[str, NDArray]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(value) for name, value in observation.items()}

    def save(path: Path, note: dict[str, Any]) -> None:
        agent = ImageAgent(learner.averaged_policy, env.contract)  # type: ignore[arg-type]
        save_image_agent(path, agent, config.scratch, note)

    return Method(learner, Replay(fields, action_dim, config.replay), observe, save)
