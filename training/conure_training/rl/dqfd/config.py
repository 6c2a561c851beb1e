"""The settings of `method=dqfd`; its baselines are the same learner with other ones."""

from dataclasses import dataclass, field

from conure_core.config.values import COUNT, COUNT_OR_NONE, POSITIVE, SHARE, bounds
from conure_core.errors import ConfigError, unknown_name
from conure_core.runtime.resume import CHANGES_NO_RESULT
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.learner import OnlineConfig

USES = ("kept", "prefilled", "mixed", "none")
ACTIONS = ("axes", "clusters")


@dataclass(frozen=True)
class DqfdConfig(OnlineConfig):
    """Of deep Q-learning from demonstrations.

    Source of the values: Hester et al., arXiv 1704.03732, but for those that depend on the length
    of a run: updates, periods, network.
    """

    reads = ()

    name: str = "dqfd"
    demonstration: str = field(default="", metadata=CHANGES_NO_RESULT)
    """A file of demonstrations in discrete actions, a folder of conure demos, or of a game an .npz
    file of actions; empty: the task's scripted expert shows some."""
    episodes: int = field(default=30, metadata=COUNT)
    """Successful episodes of the expert."""
    rewards: int = field(default=1, metadata=COUNT)
    """A game's demonstration is cut after so many rewards, and they are the task."""
    demonstrations: str = USES[0]
    """kept: in replay for good; prefilled: there at first, and given up like old steps; mixed:
    kept, and half of each batch; none: not used."""
    actions: str = ACTIONS[0]
    """The arm's discrete actions: axes, steps along one axis; or clusters, the centres of what the
    demonstrations do."""
    clusters: int = field(default=16, metadata=COUNT)
    """How many centres."""
    pixels: bool = False
    """Games are seen by their last four screens instead of their memory."""

    gamma: float = field(default=0.99, metadata=SHARE)
    """Discount of a step."""
    n_step: int = field(default=10, metadata=COUNT)
    """Steps of the long return."""
    one_step_weight: float = field(default=1.0, metadata=bounds(0.0))
    """Of the one-step loss."""
    n_step_weight: float = field(default=1.0, metadata=bounds(0.0))
    """lambda_1, of the n-step loss."""
    margin_weight: float = field(default=1.0, metadata=bounds(0.0))
    """lambda_2, of the large-margin loss on demonstrations."""
    margin: float = field(default=0.8, metadata=bounds(0.0))
    """By which the demonstrated action's value must exceed every other's."""
    cross_entropy_weight: float = field(default=0.0, metadata=bounds(0.0))
    """Of the cross-entropy of demonstrated actions, values being logits: supervised imitation."""
    l2_weight: float = field(default=1e-5, metadata=bounds(0.0))
    """lambda_3, of the sum of squared weights."""

    pretraining_updates: int = field(default=5000, metadata=COUNT_OR_NONE)
    """On demonstrations alone, before the first step."""
    updates_per_step: float = field(default=0.25, metadata=bounds(0.0))
    batch_size: int = field(default=64, metadata=COUNT)
    target_period: int = field(default=500, metadata=COUNT)
    """Updates between two copies into the target network."""
    epsilon: float = field(default=0.01, metadata=SHARE)
    """Share of random actions."""
    evaluation_epsilon: float = field(default=0.0, metadata=SHARE)
    """The same in evaluations: without chance, every episode of a game would be the same."""

    priority_exponent: float = field(default=0.4, metadata=SHARE)
    """alpha: P(i) is proportional to p_i^alpha, p_i = |error| + offset."""
    importance_exponent: float = field(default=0.6, metadata=SHARE)
    """beta at first: a sample weighs (N P(i))^-beta."""
    importance_updates: int = field(default=20_000, metadata=COUNT)
    """Updates after which beta is 1."""
    own_offset: float = field(default=0.001, metadata=POSITIVE)
    """Offset of the learner's own steps."""
    demonstration_offset: float = field(default=1.0, metadata=POSITIVE)
    """Offset of demonstrated ones: the bonus by which they are seen more often."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.demonstrations not in USES:
            raise unknown_name("method.demonstrations", self.demonstrations, USES)
        if self.actions not in ACTIONS:
            raise unknown_name("method.actions", self.actions, ACTIONS)
        shown = self.margin_weight or self.cross_entropy_weight or self.pretraining_updates
        if self.demonstrations == "none" and shown:
            raise ConfigError(
                "method.demonstrations=none leaves nothing to pretrain on or to imitate; give"
                " method.pretraining_updates=0 method.margin_weight=0 with it"
            )

    @property
    def uses_images(self) -> bool:
        return False

    def files(self, run: RunConfig) -> dict[str, str]:
        return {"demonstration": self.demonstration}

    def beta(self, updates: int) -> float:
        """The importance exponent after so many updates."""
        share = min(1.0, updates / self.importance_updates)
        return self.importance_exponent + (1.0 - self.importance_exponent) * share
