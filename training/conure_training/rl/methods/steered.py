"""`method=steered`: a flow-matching policy, cloned from the demonstrations, steered in its noise (`steered_sac`)."""

from typing import Any

from conure_training.nn.networks import seeded
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.rl.config import RlConfig
from conure_training.rl.loop import Method
from conure_training.rl.methods.flow_matching import FlowMatchingPolicy, train_flow_matching
from conure_training.rl.methods.prior_features import Features
from conure_training.rl.methods.steered_sac import SteeredSac


def build(config: RlConfig, env: Any) -> Method:
    """Sees what latent SAC sees; the generative policy learns on the data set that the prior is trained on."""
    features, latent = Features(config, env), config.latent
    sizes = {
        "hidden_dims": (config.steered.hidden_width,) * config.steered.hidden_layers,
        "integration_steps": config.steered.integration_steps,
    }
    with seeded(config.seed):
        generator = FlowMatchingPolicy(features.dim, features.action_dim, **sizes)  # type: ignore[arg-type]

    def train(policy: FlowMatchingPolicy) -> None:
        seen, done = features.demonstrated_features, features.demonstrated_actions
        train_flow_matching(policy, seen, done, config.steered, config.seed)

    generator = features.trained_once(generator, train)
    learner = SteeredSac(
        generator,
        features.dim,
        features.critic_dim,
        features.action_dim,
        latent,
        config.seed,
        slots=features.slots,
        critic_input=config.critic,
    )
    radius = chi_square_radius(latent.z_bound_quantile, features.action_dim)
    save = features.saving(
        "steered", lambda: learner.averaged_policy, latent.hidden_dims, radius, generator=(generator, sizes)
    )
    return Method(learner, features.mixed_replay(), features.observe, save)
