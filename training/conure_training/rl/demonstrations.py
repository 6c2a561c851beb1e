"""Demonstrations as a learner's episodes, and told again as failures to lift something else."""

from dataclasses import replace

import numpy as np
import torch

from conure_core.errors import DataError
from conure_sim.scenes.scene import another_target
from conure_training.data.demonstrations import Demonstrations
from conure_training.prior.feature_cache import Encoded
from conure_training.prior.latent_bound import Inverse
from conure_training.rl.replay import Episode


def demonstrated(
    data: Demonstrations,
    task: str,
    encoded: Encoded,
    relabel_seed: int | None,
    images: bool = False,
) -> list[Episode]:
    """The demonstrations of this task as episodes of "features" and "state"; `images`: with "image"
    and "proprio" too.

    `encoded`: all of `data`. With a `relabel_seed`, each is there a second time with another of its
    objects as the target, and no reward: what lifted one object has not lifted the others. Critics
    that see successes alone are slow to learn which object counts.
    Raises: DataError if there is no demonstration of the task.
    """
    chosen = np.flatnonzero(data.task == data.tasks.index(task)) if task in data.tasks else ()
    if not len(chosen):
        raise DataError(
            f"the demonstrations hold no episode of {task}, only of {', '.join(data.tasks)}"
        )
    rng = np.random.default_rng(relabel_seed)
    proprio_size, starts = data.proprio.shape[1], data.starts
    episodes = []
    for index in chosen:
        steps = slice(starts[index], data.ends[index])
        state = np.concatenate([data.state[steps], data.final_state[index][None]])
        features = torch.cat([encoded.steps[steps], encoded.final[index][None]])
        observations = {"features": features, "state": torch.from_numpy(state)}
        if images:
            for name in ("image", "proprio"):
                last = getattr(data, f"final_{name}")[index][None]
                observations[name] = torch.from_numpy(
                    np.concatenate([getattr(data, name)[steps], last])
                )
        action, reward = torch.from_numpy(data.action[steps]), torch.from_numpy(data.reward[steps])
        episodes.append(Episode(observations, action, reward, terminated=True))
        other = None if relabel_seed is None else another_target(state, proprio_size, rng)
        if other is not None:
            observations = {**observations, "state": torch.from_numpy(other)}
            episodes.append(
                Episode(observations, action, torch.zeros_like(reward), terminated=True)
            )
    return episodes


@torch.no_grad()
def inverted(episode: Episode, flow: Inverse) -> Episode:
    """The episode with the z of its actions in their place: (s, a, r, s') becomes (s, z, r, s').

    For whatever the policy did not choose: demonstrations, a person's takeovers, commands that
    safety changed. A large |z| says that the prior lacks the skill.
    """
    return replace(
        episode, action=flow.encode(episode.action, episode.observations["features"][:-1])
    )
