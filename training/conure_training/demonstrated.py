"""Demonstrations as a learner's episodes: encoded once, and told again as failures to lift something else."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.errors import DataError
from conure_sim.scene import another_target
from conure_training.dataset import Demonstrations
from conure_training.latent_bound import Inverse
from conure_training.replay import Episode
from conure_training.subsets import choose_episodes

FEATURE_BATCH = 512
Encode = Callable[[NDArray, NDArray], Tensor]
"""Features (n, F) of images (n, H, W, 3) and proprioception (n, P)."""


def encoding_by(encoder: nn.Module) -> Encode:
    """Features of many frames, in batches: the encoder is frozen."""

    @torch.inference_mode()
    def encode(image: NDArray, proprio: NDArray) -> Tensor:
        parts = range(0, len(image), FEATURE_BATCH)
        pairs = ((image[i : i + FEATURE_BATCH], proprio[i : i + FEATURE_BATCH]) for i in parts)
        return torch.cat([encoder(torch.from_numpy(x), torch.from_numpy(y)) for x, y in pairs])

    return encode


def demonstrated(
    data: Demonstrations, task: str, encode: Encode, relabel_seed: int | None, images: bool = False
) -> list[Episode]:
    """The demonstrations of this task as episodes of "features" and "state"; `images`: with "image" and "proprio" too.

    With a `relabel_seed`, each is there a second time with another of its objects as the target, and no reward: what
    lifted one object has not lifted the others. Critics that see successes alone are slow to learn which object counts.
    Raises: DataError if there is no demonstration of the task.
    """
    if task not in data.tasks or not (data.task == data.tasks.index(task)).any():
        raise DataError(f"the demonstrations hold no episode of {task}, only of {', '.join(data.tasks)}")
    data = choose_episodes(data, [task])
    features, final = encode(data.image, data.proprio), encode(data.final_image, data.final_proprio)
    rng = np.random.default_rng(relabel_seed)
    proprio_size = data.proprio.shape[1]
    episodes = []
    for index in range(len(data.ends)):
        steps = slice(data.starts[index], data.ends[index])
        state = np.concatenate([data.state[steps], data.final_state[index][None]])
        observations = {"features": torch.cat([features[steps], final[index][None]]), "state": torch.from_numpy(state)}
        if images:
            for name in ("image", "proprio"):
                last = getattr(data, f"final_{name}")[index][None]
                observations[name] = torch.from_numpy(np.concatenate([getattr(data, name)[steps], last]))
        action, reward = torch.from_numpy(data.action[steps]), torch.from_numpy(data.reward[steps])
        episodes.append(Episode(observations, action, reward, terminated=True))
        other = None if relabel_seed is None else another_target(state, proprio_size, rng)
        if other is not None:
            observations = {**observations, "state": torch.from_numpy(other)}
            episodes.append(Episode(observations, action, torch.zeros_like(reward), terminated=True))
    return episodes


@torch.no_grad()
def inverted(episode: Episode, flow: Inverse) -> Episode:
    """The episode with the z of its actions in their place: (s, a, r, s') becomes (s, z, r, s').

    For whatever the policy did not choose: demonstrations, a person's takeovers, commands that safety changed.
    A large |z| says that the prior lacks the skill.
    """
    return replace(episode, action=flow.encode(episode.action, episode.observations["features"][:-1]))
