"""`method=latent_inverted`: latent SAC as in the paper, its critics judging z; demonstrations are
inverted by the flow.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from conure_training.rl.config import RunConfig
from conure_training.rl.demonstrations import invert_actions
from conure_training.rl.learners.actor_critic import Observation
from conure_training.rl.method import Method
from conure_training.rl.methods.latent import LatentConfig, latent_sac, make_saver, measure_bound
from conure_training.rl.prior_features import Features
from conure_training.rl.replay import Episode


@dataclass(frozen=True)
class LatentInvertedConfig(LatentConfig):
    """As latent SAC's."""

    name: str = "latent_inverted"


class IdentityFlow:
    """z for z: the learner's actions are latents, which the loop decodes."""

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        return z


def build(run: RunConfig, config: LatentInvertedConfig, env: Any) -> Method:
    """Build latent SAC whose replay holds z in place of actions.

    Args:
        run: The run.
        config: Settings of latent SAC.
        env: The run's environment.

    Returns:
        The method; it sees what latent SAC sees.
    """
    features = Features(run, env, config.critic)
    flow = features.prior.flow
    learner = latent_sac(IdentityFlow(), features, config)

    def decode(observation: Observation, z: Tensor) -> Tensor:
        """Decode z into the action that the environment gets.

        Args:
            observation: With "features", the flow's context, shape (n, F).
            z: Shape (n, A).

        Returns:
            Actions, shape (n, A), clipped to [-1, 1].
        """
        action = flow.decode(z, observation["features"])
        return action.clamp(-1.0, 1.0)

    def inverted(episode: Episode) -> Episode:
        return invert_actions(episode, flow)

    return Method(
        learner,
        features.mixed_replay(inverted),
        features.observe,
        make_saver(features.prior, learner),
        command=decode,
        metrics=features.metrics() | measure_bound(features, config),
    )
