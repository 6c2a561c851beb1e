"""r = share * r_gail + (1 - share) * r_task, for episodes that success ends.

-log(1 - D) is positive. Where success ends an episode, whoever succeeds loses every later reward,
and a policy learns to stay near success and not to finish. So an episode that ended goes on, for
the rewards, in a state after the end: D sees a row of it for each end, in demonstrations and in own
episodes, and the last reward holds all later ones:

    r_T + gamma / (1 - gamma) * r_after
    r_after = share * -log(1 - D(after)) + (1 - share) * r_task_T

A policy that ends as often, per step, as the demonstrations do is then indifferent (D = 1/2), and
one that ends less often is paid for it. Everything is multiplied by 1 - gamma, so that values
are means of rewards, whatever gamma is.

Sources: Ho and Ermon, arXiv 1606.03476; Kostrikov et al., Discriminator-Actor-Critic, arXiv
1809.02925 (the state after the end); Zhu et al., arXiv 1802.09564 (the mixture).
"""

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
        learner.network.observe(self.demonstrated)

    def relabel(self, trajectories: list[Trajectory]) -> tuple[list[Trajectory], dict[str, float]]:
        """See RewardModel; a burn-in's steps keep out of D's rows."""
        rows = [self._rows(item) for item in trajectories]
        metrics = self.learner.update(torch.cat(rows), self.demonstrated)
        after = self.learner.reward(self._after_end())
        rewarded = []
        paid: list[NDArray[np.float32]] = []
        for item in trajectories:
            imitation = self.learner.reward(self._seen(item)).numpy()
            rewarded.append(self._pay(item, imitation, float(after)))
            paid.append(imitation)
        metrics["imitation_reward"] = float(np.concatenate(paid).mean())
        metrics["reward_after_end"] = float(after)
        return rewarded, metrics

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
        """What D learns from: the seen rows, and one after the end."""
        rows = self._seen(trajectory)[trajectory.burn_in :]
        if not trajectory.terminated or not self.rule.after_end:
            return rows
        return torch.cat([rows, self._after_end()])

    def _seen(self, trajectory: Trajectory) -> Tensor:
        """Rows (T, F + 1) of an episode's actions."""
        features = torch.from_numpy(self.view(trajectory))
        return torch.cat([features, torch.zeros(len(features), 1)], dim=1)

    def _after_end(self) -> Tensor:
        """The row after the end, (1, F + 1)."""
        row = torch.zeros(1, self.learner.network.features + 1)
        row[:, -1] = 1.0
        return row
