"""A recorded data set as what an offline method learns from, on a prior's frozen features."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from conure_core.errors import DataError
from conure_training.policies.module import FeatureModule
from conure_training.rl.config import RunConfig
from conure_training.rl.demonstrations import build_episodes
from conure_training.rl.method import Method
from conure_training.rl.offline.learner import OfflineLearner
from conure_training.rl.prior_features import Features, build_mixed_replay
from conure_training.rl.replay import Episode


@dataclass(frozen=True)
class OfflineData:
    """The episodes of the run's task in the run's `data`, as they were recorded.

    Raises: DataError if they hold no reward.
    """

    run: RunConfig
    """The run."""
    env: Any
    """Its environment."""

    @cached_property
    def features(self) -> Features:
        """The prior's features of the data set."""
        return Features(replace(self.run, demos=str(self._folder), data=""), self.env)

    def episodes(self) -> list[Episode]:
        """The task's episodes of "features"; where `timeout_fails` is off, those without success
        are bootstrapped beyond their end.
        """
        features = self.features
        found = build_episodes(features.data, self.run.task, features.encoded, None)
        if not any(episode.reward.any() for episode in found):
            raise self._error(f"holds no success in its {len(found)} episodes of {self.run.task}")
        episodes = []
        for episode in found:
            seen = {"features": episode.observations["features"]}
            ended = self.run.timeout_fails or bool(episode.reward[-1] > 0)
            episodes.append(replace(episode, observations=seen, terminated=ended))
        return episodes

    def method(
        self,
        learner: OfflineLearner,
        module: type[FeatureModule],
        kind: str = "",
        **sizes: Any,
    ) -> Method:
        """Build the method of a learner, for the loop.

        Args:
            learner: Learns from these episodes.
            module: Acts by the prior and the learner's averaged policy.
            kind: Of its file, see rl.registry; empty: the method's name.
            **sizes: Of the policy's own parts, by name.

        Returns:
            The method. Its rollouts are stored and never learned from.
        """
        config = replace(self.run, demonstration_share=1.0)
        replay = build_mixed_replay(self.episodes(), config, n_step=self.run.replay.n_step)
        features = self.features
        kind = kind or self.run.method.name

        def present() -> FeatureModule:
            return module(prior=features.prior, policy=learner.averaged_policy)

        save = features.make_saver(kind, present, learner.config.hidden_dims, **sizes)

        def observe(observation: dict[str, Any]) -> dict[str, Any]:
            return {"features": features.observe(observation)["features"]}

        return Method(learner, replay, observe, save)

    @property
    def _folder(self) -> Path:
        return Path(self.run.data or self.run.demos)

    def _error(self, what: str) -> DataError:
        return DataError(
            f"{self._folder} {what}, and method={self.run.method.name} learns from rewards; give"
            " data= a folder of episodes that were recorded with their success, or clone these"
            " without rewards by method=bc"
        )
