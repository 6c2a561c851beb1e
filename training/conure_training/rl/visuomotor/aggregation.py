"""Dataset aggregation before the first episode: a policy on pixels is cloned from its own episodes,
in which a clone on the privileged state says what to do.

    teacher:  clone of the demonstrations on the privileged state
    D_0 = demonstrations,   D_i = D_(i-1) + episodes of pi_(i-1), with the teacher's actions
    pi_i:     clone of D_i on pixels, its auxiliary head trained on the same images

Thirty demonstrations hold enough states to clone from, and too few images to learn to see from. No
reward is used, and no other demonstration.

Sources: Ross, Gordon and Bagnell, A Reduction of Imitation Learning and Structured Prediction to
No-Regret Online Learning, arXiv 1011.0686; of a teacher on the privileged state: Chen et al.,
Learning by Cheating, arXiv 1912.12294.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from conure_core.config.values import COUNT, COUNT_OR_NONE
from conure_training.nn.weights import seeded
from conure_training.rl.adversarial.cloning import CloningConfig, clone
from conure_training.rl.on_policy.collection import Block, collect
from conure_training.rl.on_policy.distributions import Gaussian
from conure_training.rl.on_policy.networks import ActorCriticNetwork, NetworkSize
from conure_training.rl.on_policy.trajectories import Trajectory


@dataclass(frozen=True)
class AggregationConfig:
    """How a policy is cloned from its own episodes."""

    steps: int = field(default=0, metadata=COUNT_OR_NONE)
    """Environment steps of these episodes, about; they count as the run's. 0: none."""
    rounds: int = field(default=4, metadata=COUNT)
    """Equal parts of these steps; after each the policy is cloned again, from all that there is."""


@dataclass(frozen=True)
class Aggregation:
    """See the module; called with the network, whose inputs are scaled already."""

    config: AggregationConfig
    cloning: CloningConfig
    demonstrations: Sequence[Trajectory]
    """With `state` among the observations."""
    env: Any
    """Begins where the task's episodes do."""
    seed: int

    def __call__(self, network: ActorCriticNetwork) -> None:
        """Train the network."""
        teacher = self._clone_on_state(network.size)
        known = list(self.demonstrations)
        clone(network, known, self.cloning, self.seed)
        steps = -(-self.config.steps // self.config.rounds)
        for number in range(1, self.config.rounds + 1):
            block = Block(seed=(self.seed, 0, 0, number), environments=1, steps=steps)
            episodes = collect([self.env], network, block, {})
            known += [label(teacher, episode) for episode in episodes]
            clone(network, known, self.cloning, self.seed + number)

    def _clone_on_state(self, size: NetworkSize) -> ActorCriticNetwork:
        """The teacher; it has no memory, for the state needs none."""
        episodes = [
            replace(item, observation=item.observation["state"]) for item in self.demonstrations
        ]
        with seeded(self.seed):
            teacher = NetworkSize(size.observation, size.actions, False, size.hidden).make()
        for item in episodes:
            teacher.update_normalizers(torch.from_numpy(item.observation))
        clone(teacher, episodes, self.cloning, self.seed)
        return teacher


@torch.no_grad()
def label(teacher: ActorCriticNetwork, episode: Trajectory) -> Trajectory:
    """Replace an episode's actions by what a teacher would have done.

    Args:
        teacher: A policy on the privileged state, without a memory.
        episode: With `state` among the observations.

    Returns:
        The same episode, its actions the teacher's mean in [-1, 1].
    """
    state = torch.from_numpy(episode.observation["state"][:-1])
    distribution = teacher.distribution_of(teacher.encode(state))
    if not isinstance(distribution, Gaussian):
        raise TypeError("cloning needs continuous actions")
    return replace(episode, action=distribution.mean.clamp(-1.0, 1.0).numpy())
