"""What a method of `conure rl` is built from, and what it gives to the loop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from conure_core.config.values import COUNT, COUNT_OR_NONE, SEED, SHARE, bounds, check_values
from conure_core.errors import ConfigError, unknown_name
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_training.rl.actor_critic import ActorCritic, Observation
from conure_training.rl.pretraining import PretrainingConfig
from conure_training.rl.registry import check_method
from conure_training.rl.replay import MixedReplay, Replay, ReplayConfig

Observe = Callable[[dict[str, NDArray]], dict[str, Tensor]]
Command = Callable[[Observation, Tensor], Tensor]


@dataclass(frozen=True)
class RunConfig:
    """One run, as every method sees it; what only some of them read are the sections of RlConfig.

    `method`: see rl.registry; `steps`: environment steps; `target`: the object meant, empty: any.

    `timeout_fails`: the end of an episode without success counts as a return of 0 instead of being
    bootstrapped beyond; critics that see successful demonstrations alone are otherwise slow to
    believe that anything fails. `relabel`: every demonstration also counts as a failure to lift
    another of its objects. `evaluate_every`: environment steps between evaluations of
    `evaluate_episodes` on seeds that are always the same, 0: none; `evaluate_noise_scale`: of the
    averaged policy's noise there, 1 samples it, 0 takes its middle. `tensorboard`: log to
    `out`/tensorboard.

    `critic`: what the critics of methods on features see, the simulator's state or the features
    that the actor sees. Of `latent` alone: `escape`, a second actor that knows the run's
    demonstrations and no prior (`escape_cloning`), which acts unless the critics value the prior's
    action by `escape_margin` more; `demonstrations_in`, action or z, what the critics judge;
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
    escape_cloning: PretrainingConfig = field(
        default_factory=lambda: PretrainingConfig(batch_size=512)
    )
    demonstrations_in: str = "action"
    finetune_encoder: bool = False
    prior_explore_epsilon: float = field(default=0.5, metadata=SHARE)
    replay: ReplayConfig = field(default_factory=ReplayConfig)

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        check_method(self.method)
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
            raise ConfigError(
                f"critic={self.critic} needs a method that learns on features; {self.method}"
                " does not"
            )
        options = {
            "escape": self.escape,
            "demonstrations_in=z": self.demonstrations_in == "z",
            "finetune_encoder": self.finetune_encoder,
        }
        chosen = [name for name, on in options.items() if on]
        if chosen and self.method != "latent":
            raise ConfigError(
                f"{', '.join(chosen)} belongs to method=latent, not to method={self.method}"
            )
        if len(chosen) > 1:
            raise ConfigError(f"{' and '.join(chosen)} exclude one another; choose one")


def within_the_box(observation: Observation, action: Tensor) -> Tensor:
    """Actions (n, A) clipped to [-1, 1]."""
    return action.clamp(-1.0, 1.0)


@dataclass(frozen=True)
class Method:
    """What the loop needs of a method.

    `observe`: the environment's observation as what the learner stores, by name, without a batch
    dimension. `command`: what the environment gets for a stored batch of observations and actions;
    the clipped action unless the learner stores something else. `environment`: around the bare one,
    e.g. to act in chunks; its `info["env_steps"]`, where it has one, says how many steps of the
    bare one an action took. `save` writes the averaged policy, with a note. `figures` go into
    curve.json.
    """

    learner: ActorCritic
    replay: Replay | MixedReplay
    observe: Observe
    save: Callable[[Path, dict[str, Any]], None]
    command: Command = within_the_box
    environment: Callable[[Any], Any] = lambda env: env
    figures: dict[str, Any] = field(default_factory=dict)
