"""r = share * r_gail + (1 - share) * r_task, for episodes that success ends.

-log(1 - D) is positive. Where success ends an episode, whoever succeeds loses every later reward,
and a policy learns to stay near success and not to finish. So an episode that ended goes on, for
the rewards, in a state after the end, which is the same for all. The best D of one state is known
by counting its rows, one for each end; the last reward holds all later ones:

    r_T + gamma / (1 - gamma) * r_after
    r_after = share * -log(1 - D(after)) + (1 - share) * r_task_T
    D(after) = p_demonstrated / (p_demonstrated + p_own),   p the share of such rows

A policy that ends as often, per step, as the demonstrations do is then indifferent (D = 1/2), and
one that ends less often is paid for it. Everything is multiplied by 1 - gamma, so that values
are means of rewards, whatever gamma is.

Sources: Ho and Ermon, arXiv 1606.03476; Kostrikov et al., Discriminator-Actor-Critic, arXiv
1809.02925 (the state after the end); Zhu et al., arXiv 1802.09564 (the mixture).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_training.rl.adversarial.discriminator import DiscriminatorLearner
from conure_training.rl.on_policy.trajectories import Trajectory

View = Callable[[Trajectory], NDArray[np.float32]]
"""What the discriminator sees of an episode: a row for every action, (T, F)."""


@dataclass(frozen=True)
class RewardRule:
    """How rewards are mixed, and go on after the end."""

    share: float
    """lambda: of the discriminator's reward; the rest is the task's."""
    gamma: float
    """Discount of a step."""
    after_end: bool = True
    """Whether an episode that ended is paid for what would follow."""


class AdversarialReward:
    """A RewardModel: trains D on every update's episodes, and pays what D says of them."""

    def __init__(
        self,
        learner: DiscriminatorLearner,
        demonstrations: Sequence[Trajectory],
        view: View,
        rule: RewardRule,
    ) -> None:
        """Show the discriminator the demonstrations.

        Args:
            learner: The discriminator, of as many features as `view` gives.
            demonstrations: Successful episodes.
            view: What it sees of an episode.
            rule: How rewards are mixed.
        """
        self.learner = learner
        self.view = view
        self.rule = rule
        self.demonstrated = torch.cat([self._rows(item) for item in demonstrations])
        ends = sum(item.terminated for item in demonstrations)
        self.ends_demonstrated = ends / (ends + len(self.demonstrated))
        learner.network.normalize.update(self.demonstrated)

    def relabel(self, trajectories: list[Trajectory]) -> tuple[list[Trajectory], dict[str, float]]:
        """See RewardModel; a burn-in's steps keep out of D's rows."""
        rows = [self._rows(item) for item in trajectories]
        own = torch.cat([row[item.burn_in :] for row, item in zip(rows, trajectories, strict=True)])
        metrics = self.learner.update(own, self.demonstrated)
        imitation = [self.learner.reward(row).numpy() for row in rows]
        metrics["imitation_reward"] = float(np.concatenate(imitation).mean())

        ends = sum(item.terminated for item in trajectories)
        after = self.reward_after_end(ends, len(own))
        metrics["reward_after_end"] = after
        pairs = zip(trajectories, imitation, strict=True)
        return [self._pay(item, earned, after) for item, earned in pairs], metrics

    def reward_after_end(self, ends: int, steps: int) -> float:
        """Compute -log(1 - D(after)).

        Args:
            ends: Own episodes that ended; one more counts, so that the first one is not worth
                everything.
            steps: Own steps.

        Returns:
            A reward from 0 to the largest of D's.
        """
        own = (ends + 1) / (ends + 1 + steps)
        clip = self.learner.config.reward_clip
        return min(math.log1p(self.ends_demonstrated / own), clip)

    def state_dict(self) -> dict[str, Any]:
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state)

    def _pay(
        self, trajectory: Trajectory, imitation: NDArray[np.float32], after: float
    ) -> Trajectory:
        """A copy with mixed rewards."""
        rule = self.rule
        reward = rule.share * imitation + (1.0 - rule.share) * trajectory.reward
        reward = (1.0 - rule.gamma) * reward
        if trajectory.terminated and rule.after_end:
            following = rule.share * after + (1.0 - rule.share) * trajectory.reward[-1]
            reward[-1] += rule.gamma * following
        return replace(trajectory, reward=reward.astype(np.float32))

    def _rows(self, trajectory: Trajectory) -> Tensor:
        """What D sees, (T, F)."""
        return torch.from_numpy(self.view(trajectory))
