"""`method=latent_inverted`: latent SAC as in the paper, its critics judging z; demonstrations are
inverted by the flow.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from conure_training.rl.config import RunConfig
from conure_training.rl.demonstrations import inverted
from conure_training.rl.learners.actor_critic import Observation
from conure_training.rl.method import Method
from conure_training.rl.methods.latent import LatentConfig, LatentSac, bound_figures, saving
from conure_training.rl.prior_features import Features


@dataclass(frozen=True)
class LatentInvertedConfig(LatentConfig):
    """As latent SAC's."""

    name: str = "latent_inverted"


class IdentityFlow:
    """z for z: the learner's actions are latents, which the loop decodes."""

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        return z


def build(run: RunConfig, config: LatentInvertedConfig, env: Any) -> Method:
    """Sees what latent SAC sees; the replay holds z in place of actions."""
    features = Features(run, env, config.critic)
    flow = features.prior.flow
    learner = LatentSac(
        IdentityFlow(),
        features.dim,
        features.critic_dim,
        features.action_dim,
        config,
        run.seed,
        slots=features.slots,
        critic_input=config.critic,
    )

    def decoded(observation: Observation, z: Tensor) -> Tensor:
        return flow.decode(z, observation["features"]).clamp(-1.0, 1.0)

    episodes = [inverted(episode, flow) for episode in features.task_demonstrations()]
    return Method(
        learner,
        features.mixed_replay(episodes),
        features.observe,
        saving(features.prior, learner),
        command=decoded,
        figures=bound_figures(features, config),
    )
