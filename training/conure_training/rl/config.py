"""What `conure rl` takes: one run of one method on one task."""

from dataclasses import dataclass, field
from typing import Any

from conure_core.config_values import COUNT, COUNT_OR_NONE, SEED, SHARE, bounds, check_values
from conure_core.errors import ConfigError, unknown_name
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_training.rl.methods import METHODS
from conure_training.rl.methods.feature_sac import FeatureSacConfig
from conure_training.rl.methods.flow_matching import FlowMatchingConfig
from conure_training.rl.methods.image_vae import VaeConfig
from conure_training.rl.methods.latent_sac import LatentSacConfig
from conure_training.rl.methods.sac import SacConfig
from conure_training.rl.methods.skill_model import SkillConfig
from conure_training.rl.pretraining import PretrainingConfig
from conure_training.rl.replay import ReplayConfig


@dataclass(frozen=True)
class RlConfig:
    """One run. `method`: see `methods`; `steps`: environment steps; `target`: the object meant, empty: any.

    `timeout_fails`: the end of an episode without success counts as a return of 0 instead of being bootstrapped beyond;
    critics that see successful demonstrations alone are otherwise slow to believe that anything fails. `relabel`: every
    demonstration also counts as a failure to lift another of its objects. `evaluate_every`: environment steps between
    evaluations of `evaluate_episodes` on seeds that are always the same, 0: none; `evaluate_noise_scale`: of the
    averaged policy's noise there, 1 samples it, 0 takes its middle. `tensorboard`: log to `out`/tensorboard.

    `critic`: what the critics of methods on features see, the simulator's state or the features that the actor sees.
    Of `latent` alone: `escape`, a second actor that knows the run's demonstrations and no prior (`escape_cloning`),
    which acts unless the critics value the prior's action by `escape_margin` more;
    `demonstrations_in`, action or z, what the critics judge;
    `finetune_encoder`, a policy on images behind its own copy of the encoder.
    """

    method: str
    task: str
    target: str
    objects: str
    containers: str
    distractors: int = field(metadata=COUNT_OR_NONE)
    arm: str
    image_size: int
    prior: str
    demos: str
    out: str
    steps: int = field(metadata=COUNT)
    demonstration_share: float = field(metadata=SHARE)
    timeout_fails: bool
    relabel: bool
    attention: bool
    checkpoint_every: int = field(metadata=COUNT)
    seed: int = field(metadata=SEED)
    evaluate_every: int = field(default=0, metadata=COUNT_OR_NONE)
    evaluate_episodes: int = field(default=20, metadata=COUNT)
    evaluate_noise_scale: float = field(default=0.5, metadata=bounds(0.0, 3.0))
    tensorboard: bool = False
    randomization: dict[str, Any] = field(default_factory=factors_at_rest)
    critic: str = "state"
    escape: bool = False
    escape_margin: float = field(default=0.1, metadata=SHARE)
    escape_cloning: PretrainingConfig = field(default_factory=lambda: PretrainingConfig(batch_size=512))
    demonstrations_in: str = "action"
    finetune_encoder: bool = False
    prior_explore_epsilon: float = field(default=0.5, metadata=SHARE)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    latent: LatentSacConfig = field(default_factory=LatentSacConfig)
    scratch: SacConfig = field(default_factory=SacConfig)
    features: FeatureSacConfig = field(default_factory=FeatureSacConfig)
    rlpd: FeatureSacConfig = field(default_factory=FeatureSacConfig)
    cloning: PretrainingConfig = field(default_factory=PretrainingConfig)
    vae: VaeConfig = field(default_factory=VaeConfig)
    trajectory: SkillConfig = field(default_factory=SkillConfig)
    hierarchical: SkillConfig = field(default_factory=SkillConfig)
    steered: FlowMatchingConfig = field(default_factory=FlowMatchingConfig)

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        if self.method not in METHODS:
            raise unknown_name("method", self.method, METHODS)
        for name, value, known in (
            ("critic", self.critic, ("state", "features")),
            ("demonstrations_in", self.demonstrations_in, ("action", "z")),
        ):
            if value not in known:
                raise unknown_name(name, value, known)
        self._check_options()
        find_task(self.task)
        find_randomization(self.randomization)

    def _check_options(self) -> None:
        """Which options go together."""
        if self.critic != "state" and self.method in ("scratch", "bc"):
            raise ConfigError(f"critic={self.critic} needs a method that learns on features; {self.method} does not")
        options = {
            "escape": self.escape,
            "demonstrations_in=z": self.demonstrations_in == "z",
            "finetune_encoder": self.finetune_encoder,
        }
        chosen = [name for name, on in options.items() if on]
        if chosen and self.method != "latent":
            raise ConfigError(f"{', '.join(chosen)} belongs to method=latent, not to method={self.method}")
        if len(chosen) > 1:
            raise ConfigError(f"{' and '.join(chosen)} exclude one another; choose one")
