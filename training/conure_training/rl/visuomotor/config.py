"""The settings of `method=visuomotor`, each part of which can be switched off."""

from dataclasses import dataclass, field

from conure_core.config.values import COUNT, COUNT_OR_NONE, POSITIVE, SHARE, bounds
from conure_core.errors import ConfigError, unknown_name
from conure_training.data.atari import is_atari
from conure_training.rl.adversarial.cloning import CloningConfig
from conure_training.rl.adversarial.discriminator import DiscriminatorConfig
from conure_training.rl.config import RunConfig
from conure_training.rl.demo_resets.optimizer import ResetSchedule
from conure_training.rl.on_policy.config import OnPolicyConfig
from conure_training.rl.on_policy.ppo import PpoConfig
from conure_training.rl.visuomotor.aggregation import AggregationConfig

ACTORS = ("pixels", "state", "latent")
CURRICULA = ("reverse", "uniform")


@dataclass(frozen=True)
class VisuomotorConfig(OnPolicyConfig):
    """Of the visuomotor system."""

    name: str = "visuomotor"
    actor: str = ACTORS[0]
    """What the policy sees. pixels: image and proprioception; state: the privileged state; latent:
    features of the run's prior, and it chooses z, which the frozen flow decodes."""
    memory: int = field(default=128, metadata=COUNT_OR_NONE)
    """Width of the policy's GRU; 0: none."""
    image_features: int = field(default=64, metadata=COUNT)
    """Values that the image encoder makes of an image."""
    initial_std: float = field(default=0.5, metadata=POSITIVE)
    """Standard deviation of the first policy's actions, of which 1 is the largest; in z it is 1,
    the prior's own."""
    privileged_value: bool = True
    """Whether the value function sees the privileged state; False: what the policy sees."""
    auxiliary_weight: float = field(default=0.1, metadata=bounds(0.0))
    """Of the loss of object positions from the image; 0: no auxiliary head. For actor=pixels."""
    trajectories: int = field(default=30, metadata=COUNT)
    """Demonstrations of the task, the folder's first."""
    cloning: CloningConfig = field(default_factory=lambda: CloningConfig(updates=0))
    """How the policy is cloned from the demonstrations before the first episode; the source does
    not. Not for actor=latent, whose first policy is the prior."""
    aggregation: AggregationConfig = field(default_factory=AggregationConfig)
    """How it is cloned further from its own episodes; the source does not. For actor=pixels."""
    gail_share: float = field(default=0.5, metadata=SHARE)
    """lambda: weight of the discriminator's reward, the rest is the task's; 0: no discriminator, 1:
    no task reward."""
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    """How the discriminator learns."""
    resets: float = field(default=0.5, metadata=SHARE)
    """Share of episodes that begin in states of the demonstrations; 0: none."""
    curriculum: str = CURRICULA[0]
    """Where in them. reverse: near their end at first, then earlier and earlier; uniform:
    anywhere."""
    window: int = field(default=2, metadata=COUNT_OR_NONE)
    """Steps before the curriculum's point within which episodes begin."""
    burn_in: int = field(default=8, metadata=COUNT_OR_NONE)
    """Demonstrated steps before that which warm the memory, where there is one, and are not trained
    on."""
    schedule: ResetSchedule = field(
        default_factory=lambda: ResetSchedule(shift=1, threshold=0.4, episodes=32)
    )
    """When the curriculum's point moves."""
    ppo: PpoConfig = field(default_factory=lambda: PpoConfig(entropy_weight=0.001))
    """How PPO updates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.actor not in ACTORS:
            raise unknown_name("method.actor", self.actor, ACTORS)
        if self.curriculum not in CURRICULA:
            raise unknown_name("method.curriculum", self.curriculum, CURRICULA)
        if self.actor == "latent" and self.cloning.updates:
            raise ConfigError(
                "method.actor=latent begins as the prior does and is not cloned; give"
                " method.cloning.updates=0"
            )
        if self.aggregation.steps and not (self.actor == "pixels" and self.cloning.updates):
            raise ConfigError(
                f"method.aggregation.steps={self.aggregation.steps} goes on cloning a policy on"
                " pixels; give method.actor=pixels and method.cloning.updates=500, or"
                " method.aggregation.steps=0"
            )
        if self.algorithm != "ppo" and self.has_auxiliary:
            raise ConfigError(
                f"method.algorithm={self.algorithm} has no auxiliary loss; give"
                " method.auxiliary_weight=0, or method.algorithm=ppo"
            )

    @property
    def uses_images(self) -> bool:
        return self.actor != "state"

    @property
    def has_auxiliary(self) -> bool:
        """Whether the image encoder also learns where objects are."""
        return self.actor == "pixels" and self.auxiliary_weight > 0.0

    @property
    def uses_demonstrations(self) -> bool:
        """Whether any part that needs demonstrations is on."""
        return self.gail_share > 0.0 or self.resets > 0.0 or self.cloning.updates > 0

    def files(self, run: RunConfig) -> dict[str, str]:
        demos = run.demos if self.uses_demonstrations else ""
        prior = run.prior if self.actor == "latent" else ""
        return {"demos": demos, "prior": prior}

    def require_table(self, task: str) -> None:
        """Raises: ConfigError for a game, which has neither an arm nor a camera."""
        if is_atari(task):
            raise ConfigError(
                f"method={self.name} is for an arm on a table, {task} is a game; give"
                " method=demo_resets"
            )
