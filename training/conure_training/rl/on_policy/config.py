"""The settings that every on-policy method has."""

from dataclasses import dataclass, field
from typing import ClassVar

from conure_core.config.values import COUNT, COUNT_OR_NONE, SHARE, WORKERS
from conure_core.errors import unknown_name
from conure_training.rl.config import MethodConfig
from conure_training.rl.on_policy.ppo import PpoConfig
from conure_training.rl.on_policy.trpo import TrpoConfig
from conure_training.runtime.parallel import ENGINES, make_engine

ALGORITHMS = ("ppo", "trpo", "none")


@dataclass(frozen=True)
class OnPolicyConfig(MethodConfig):
    """How episodes are collected and learned from."""

    reads: ClassVar[tuple[str, ...]] = ()
    uses_images: ClassVar[bool] = False

    algorithm: str = "ppo"
    """Updates the policy: ppo, trpo, or none, which leaves it as it is."""
    hidden_width: int = field(default=256, metadata=COUNT)
    """Width of the hidden layers of policy and value function."""
    hidden_layers: int = field(default=2, metadata=COUNT)
    """How many there are."""
    memory: int = field(default=0, metadata=COUNT_OR_NONE)
    """Width of a GRU before both; 0: none."""
    environments: int = field(default=16, metadata=COUNT)
    """Environments of a block, which step together in one process."""
    blocks: int = field(default=1, metadata=COUNT)
    """Blocks of an update; workers share them out, and what they collect does not depend on how."""
    rollout_steps: int = field(default=128, metadata=COUNT)
    """Steps of an environment before an update; its last episode is finished."""
    gamma: float = field(default=0.99, metadata=SHARE)
    """Discount of a step."""
    lam: float = field(default=0.95, metadata=SHARE)
    """lambda of generalized advantage estimation."""
    engine: str = ENGINES[0]
    """See `Engine`."""
    workers: int = field(default=1, metadata=WORKERS)
    """See `Engine`; 1: the run's own process."""
    ray_address: str = ""
    """See `Engine`."""
    ppo: PpoConfig = field(default_factory=PpoConfig)
    """How PPO updates."""
    trpo: TrpoConfig = field(default_factory=TrpoConfig)
    """How TRPO updates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        make_engine(self)
        if self.algorithm not in ALGORITHMS:
            raise unknown_name("method.algorithm", self.algorithm, ALGORITHMS)

    @property
    def hidden_dims(self) -> tuple[int, ...]:
        return (self.hidden_width,) * self.hidden_layers
