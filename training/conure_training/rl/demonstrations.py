"""Demonstrations as a learner's episodes, and the same again as failures to lift another object."""

from dataclasses import replace

import numpy as np
import torch

from conure_core.errors import DataError
from conure_sim.scenes.scene import another_target
from conure_training.data.demonstrations import Demonstrations
from conure_training.prior.feature_cache import Encoded
from conure_training.prior.latent_bound import Inverse
from conure_training.rl.replay import Episode


def build_episodes(
    data: Demonstrations,
    task: str,
    encoded: Encoded,
    relabel_seed: int | None,
    images: bool = False,
    state_size: int | None = None,
) -> list[Episode]:
    """Build the demonstrations of one task as episodes of "features" and "state".

    With a `relabel_seed`, each episode is there a second time with another of its objects as the
    target, and no reward: what lifted one object has not lifted the others. Critics that see
    successes alone are slow to learn which object counts.

    Args:
        data: The demonstrations of every task.
        task: Name of the task to take.
        encoded: The prior's features of all of `data`, steps (n, F) and final (e, F).
        relabel_seed: Seeds the choice of the other target; None: no episode is repeated.
        images: Observations also hold "image" and "proprio".
        state_size: Values of the state; episodes that have another one, or none, get zeros. None:
            as recorded.

    Returns:
        One episode, or two with a `relabel_seed`, for each demonstration, in the order of `data`.
        An episode with no other object is not repeated.

    Raises:
        DataError: There is no demonstration of the task.
    """
    chosen = np.flatnonzero(data.task == data.tasks.index(task)) if task in data.tasks else ()
    if not len(chosen):
        raise DataError(
            f"the demonstrations hold no episode of {task}, only of {', '.join(data.tasks)}"
        )
    rng = np.random.default_rng(relabel_seed)
    proprio_size = data.proprio.shape[1]
    episodes = []
    for index in chosen:
        steps = data.steps_of(index)
        state = data.states_of(index)
        if state_size not in (None, state.shape[1]):
            state = np.zeros((len(state), state_size), np.float32)
        features = torch.cat([encoded.steps[steps], encoded.final[index][None]])
        observations = {"features": features, "state": torch.from_numpy(state)}
        if images:
            for name in ("image", "proprio"):
                last = getattr(data, f"final_{name}")[index][None]
                rows = np.concatenate([getattr(data, name)[steps], last])
                observations[name] = torch.from_numpy(rows)
        action = torch.from_numpy(data.action[steps])
        reward = torch.from_numpy(data.reward[steps])
        episodes.append(Episode(observations, action, reward, terminated=True))
        other = None if relabel_seed is None else another_target(state, proprio_size, rng)
        if other is not None:
            observations = {**observations, "state": torch.from_numpy(other)}
            nothing = torch.zeros_like(reward)
            episodes.append(Episode(observations, action, nothing, terminated=True))
    return episodes


@torch.no_grad()
def invert_actions(episode: Episode, flow: Inverse) -> Episode:
    """Replace the episode's actions by their z: (s, a, r, s') becomes (s, z, r, s').

    This is for whatever the policy did not choose: demonstrations, a person's takeovers, commands
    that safety changed. A large |z| says that the prior lacks the skill.

    Args:
        episode: T actions (T, A) in [-1, 1], with the observation "features" (T + 1, F).
        flow: The prior's flow, whose `encode` gives z = f^-1(a; features).

    Returns:
        A copy whose `action` holds z, (T, A).
    """
    return replace(
        episode, action=flow.encode(episode.action, episode.observations["features"][:-1])
    )
