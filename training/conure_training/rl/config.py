"""What `conure rl` takes: one run, with a section of settings for each method."""

from dataclasses import dataclass, field

from conure_training.rl.method import RunConfig
from conure_training.rl.methods.feature_sac import FeatureSacConfig
from conure_training.rl.methods.latent_sac import LatentSacConfig
from conure_training.rl.methods.scratch import SacConfig
from conure_training.rl.methods.skills import SkillConfig
from conure_training.rl.methods.steered import FlowMatchingConfig
from conure_training.rl.methods.vae import VaeConfig
from conure_training.rl.pretraining import PretrainingConfig


@dataclass(frozen=True)
class RlConfig(RunConfig):
    """A run of any method. Which sections its method reads: see rl.registry.METHODS."""

    latent: LatentSacConfig = field(default_factory=LatentSacConfig)
    scratch: SacConfig = field(default_factory=SacConfig)
    features: FeatureSacConfig = field(default_factory=FeatureSacConfig)
    rlpd: FeatureSacConfig = field(default_factory=FeatureSacConfig)
    cloning: PretrainingConfig = field(default_factory=PretrainingConfig)
    vae: VaeConfig = field(default_factory=VaeConfig)
    trajectory: SkillConfig = field(default_factory=SkillConfig)
    hierarchical: SkillConfig = field(default_factory=SkillConfig)
    steered: FlowMatchingConfig = field(default_factory=FlowMatchingConfig)
