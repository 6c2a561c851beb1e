"""What `conure rl` takes: one run, and the settings of its method."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from conure_core.config.values import COUNT, COUNT_OR_NONE, SEED, SHARE, bounds, check_values
from conure_core.errors import ConfigError, unknown_name
from conure_core.runtime.resume import CHANGES_NO_RESULT, identity, stamp
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_training.data.atari import is_atari
from conure_training.rl.interventions import WEIGHTINGS
from conure_training.rl.registry import config_class
from conure_training.rl.replay import ReplayConfig

INTERVENTION_SETTINGS = (
    "intervention_share",
    "intervention_weighting",
    "intervention_lead_steps",
)


@dataclass(frozen=True)
class MethodConfig:
    """What every method has. What is a method's own are the fields of a child, in its file in
    rl/methods, whose defaults are what `conure rl method=NAME` runs.
    """

    reads: ClassVar[tuple[str, ...]] = ("prior", "demos")
    """Of the run's files, those that it learns from."""
    name: str = ""
    """As rl.registry lists it."""
    learns_offline: ClassVar[bool] = False
    """True: from recorded episodes, before the first step, and from nothing else."""
    learns_from_interventions: ClassVar[bool] = False
    """Whether it takes `interventions`."""

    def __post_init__(self) -> None:
        check_values(asdict(self), type(self), "method.")

    @property
    def uses_images(self) -> bool:
        """Whether it acts on or learns from images; without, the environment renders none."""
        return True

    def files(self, run: "RunConfig") -> dict[str, str]:
        """The paths of the files that it learns from in this run, by name; empty: none."""
        return {name: getattr(run, name) for name in self.reads}


@dataclass(frozen=True)
class RunConfig:
    """One run of `conure rl`."""

    method: MethodConfig
    """How it learns: `method=NAME` chooses, see rl.registry."""
    task: str = "Lift"
    """The task, by its name in conure_sim.tasks; or atari/GAME, for methods that can play."""
    target: str = ""
    """The object that is rewarded; empty: any."""
    objects: str = "test"
    """The set that the scenes' objects are from."""
    containers: str = "train"
    """The set that the scenes' containers are from."""
    distractors: int = field(default=2, metadata=COUNT_OR_NONE)
    """Objects in a scene beside the target."""
    arm: str = "wx250s"
    """The arm, by name or as the path of its YAML."""
    image_size: int = 48
    """Width and height of the policy's image, px."""
    prior: str = field(default="out/prior/prior.pt", metadata=CHANGES_NO_RESULT)
    """The prior, for the methods that use one."""
    demos: str = field(default="out/demos", metadata=CHANGES_NO_RESULT)
    """The folder of demonstrations, for the methods that use some."""
    data: str = field(default="", metadata=CHANGES_NO_RESULT)
    """The folder of recorded episodes that td3_bc, bcq and iql learn from; empty: `demos`."""
    interventions: str = field(default="", metadata=CHANGES_NO_RESULT)
    """The folder of recorded episodes in which a person took over; empty: none."""
    out: str = field(default="out/rl", metadata=CHANGES_NO_RESULT)
    """The folder that everything is written to."""
    steps: int = field(default=13_000, metadata=COUNT)
    """Environment steps."""
    demonstration_share: float = field(default=0.5, metadata=SHARE)
    """Of each batch, what is demonstrated."""
    intervention_share: float = field(default=0.5, metadata=SHARE | CHANGES_NO_RESULT)
    """Of what is demonstrated, the part from `interventions`."""
    intervention_weighting: str = field(default="iwr", metadata=CHANGES_NO_RESULT)
    """How often their steps are drawn: `iwr`, a person's and the policy's the same; `hg_dagger`, a
    person's alone; `hil_serl`, a person's twice as often; `sirius`, those before a takeover hardly.
    """
    intervention_lead_steps: int = field(default=15, metadata=COUNT_OR_NONE | CHANGES_NO_RESULT)
    """Steps before a takeover that led to it, for `sirius`."""
    timeout_fails: bool = True
    """The end of an episode without success counts as a return of 0 instead of being bootstrapped
    beyond: critics that see successful demonstrations alone are slow to believe that anything
    fails.
    """
    relabel: bool = True
    """Every demonstration also counts as a failure to lift another of its objects."""
    attention: bool = True
    """Policies on a prior's features attend to one of its slots."""
    checkpoint_every: int = field(default=2000, metadata=COUNT | CHANGES_NO_RESULT)
    """Environment steps between checkpoints; gradient steps while an offline method learns."""
    seed: int = field(default=0, metadata=SEED)
    """Of everything random in the run."""
    evaluate_every: int = field(default=0, metadata=COUNT_OR_NONE)
    """Environment steps between evaluations on seeds that are always the same; 0: none."""
    evaluate_episodes: int = field(default=20, metadata=COUNT)
    """Episodes of an evaluation."""
    evaluate_noise_scale: float = field(default=0.5, metadata=bounds(0.0, 3.0))
    """Of the averaged policy's noise in evaluations: 1 samples it, 0 takes its mean."""
    tensorboard: bool = field(default=False, metadata=CHANGES_NO_RESULT)
    """Log to `out`/tensorboard."""
    randomization: dict[str, Any] = field(default_factory=factors_at_rest)
    """Ranges of the simulation's factors: `randomization=NAME` chooses."""
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    """The replay of the learner's own steps."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        expected = config_class(self.method.name)
        if type(self.method) is not expected:
            raise ConfigError(
                f"method.name is {self.method.name}, but the settings are a"
                f" {type(self.method).__name__}; expected a {expected.__name__}. On the command"
                f" line method={self.method.name} chooses both"
            )
        if self.data and not self.method.learns_offline:
            raise ConfigError(
                f"data={self.data} is for methods that learn offline (td3_bc, bcq, iql); give"
                f" method={self.method.name} its demonstrations as demos="
            )
        if self.intervention_weighting not in WEIGHTINGS:
            raise unknown_name("intervention_weighting", self.intervention_weighting, WEIGHTINGS)
        if self.interventions and not self.method.learns_from_interventions:
            raise ConfigError(
                f"interventions={self.interventions} is for methods in z of a prior, such as latent"
                f" and latent_inverted; method={self.method.name} does not take takeovers"
            )
        if not is_atari(self.task):
            find_task(self.task)
        find_randomization(self.randomization)

    def identity(self) -> str:
        """The settings, and the content of the files that the method reads, wherever they lie.

        Without takeovers those for them decide nothing, and runs of earlier versions resume.
        """
        files = self.method.files(self)
        read: dict[str, Any] = {name: stamp(Path(file)) for name, file in files.items() if file}
        if self.interventions:
            read["interventions"] = stamp(Path(self.interventions))
            for name in INTERVENTION_SETTINGS:
                read[name] = getattr(self, name)
        return identity(self, inputs=read)
