"""`conure demo`, the main job: demonstrations, prior, RL in z, bundle, robot graph, report, stage
by stage.
"""

from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from conure_core.claim import claimed
from conure_core.config import load_config
from conure_core.config_values import COUNT, SEED, bounds
from conure_core.errors import ConfigError
from conure_sim.objects.sets import object_set
from conure_training.data.collect import DemosConfig, collect
from conure_training.demo.display import StageDisplay
from conure_training.demo.pipeline import Stage, remove_stages, run_stages
from conure_training.evaluation.evaluate import EvaluateConfig, evaluate
from conure_training.evaluation.robot_trials import TrialsConfig, busy_simulations, run_trials
from conure_training.export.export import ExportConfig, export_policy
from conure_training.prior.train import PriorConfig, train_prior
from conure_training.rl.parallel import train_side_by_side
from conure_training.rl.train import RlConfig

PLACES = {
    "out",
    "demos",
    "prior",
    "agent",
    "metrics",
    "report",
    "bundle",
    "folder",
}  # settings that change no result
HOW = {"workers", "engine", "ray_address", "checkpoint_every"}


@dataclass(frozen=True)
class DemoConfig:
    """The configuration of every verb that the demo calls, filled from the verbs' own YAML, and
    what they share.
    """

    out: str
    fresh: bool
    seed: int = field(metadata=SEED)
    target: str
    noise_scale: float = field(metadata=bounds(0.0, 3.0))
    busy_trials: int = field(metadata=COUNT)
    estimates: dict[str, float] = field(metadata=bounds(0.0))
    demos: DemosConfig = field(default_factory=partial(OmegaConf.structured, DemosConfig))
    prior: PriorConfig = field(default_factory=partial(OmegaConf.structured, PriorConfig))
    prior_rollouts: EvaluateConfig = field(
        default_factory=partial(OmegaConf.structured, EvaluateConfig)
    )
    rl: RlConfig = field(default_factory=partial(OmegaConf.structured, RlConfig))
    policy_rollouts: EvaluateConfig = field(
        default_factory=partial(OmegaConf.structured, EvaluateConfig)
    )
    export: ExportConfig = field(default_factory=partial(OmegaConf.structured, ExportConfig))
    robot: TrialsConfig = field(default_factory=partial(OmegaConf.structured, TrialsConfig))

    def __post_init__(self) -> None:
        if self.target not in object_set(self.rl.objects):
            names = ", ".join(object_set(self.rl.objects))
            raise ConfigError(
                f"target '{self.target}' is none of the {self.rl.objects} objects: {names}"
            )
        missing = {stage.name for stage in stages_of(self)} - set(self.estimates)
        if missing:
            raise ConfigError(f"estimates lacks {', '.join(sorted(missing))}")

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return Path(self.out)

    @property
    def scratch(self) -> RlConfig:
        """SAC from scratch: the same task, seed and steps."""
        return replace(self.rl, method="scratch", out=str(self.folder / "rl" / "scratch"))


def run(overrides: list[str]) -> None:
    """The verb."""
    config = load_config("conure_training.conf", "demo", DemoConfig, overrides)
    stages = stages_of(config)
    with claimed(config.folder, "conure demo"):
        if config.fresh:
            remove_stages(config.folder, stages)
        with StageDisplay(stages, config.estimates) as display:
            ran = run_stages(config.folder, stages, display)
    print(_closing_words(config.folder, ran))


def stages_of(config: DemoConfig) -> list[Stage]:
    """The six stages, in order."""
    trials = ("trials", "robot.log")
    rl = ("rl/latent/policy.pt", "rl/rollouts.json", "rl/scratch_rollouts.json")
    return [
        Stage(
            "demonstrations",
            "demonstrations",
            _settings(config.demos),
            ("demos", "demos.blocks"),
            ("demos",),
            partial(collect, config.demos),
        ),
        Stage(
            "prior",
            "behavioral prior",
            [_settings(config.prior), _settings(config.prior_rollouts)],
            ("prior",),
            ("prior/prior.pt", "prior/metrics.json", "prior/rollouts.json"),
            partial(_prior, config),
        ),
        Stage(
            "rl",
            "RL in z, and from scratch",
            [_settings(config.rl), _settings(config.policy_rollouts)],
            ("rl",),
            rl,
            partial(_rl, config),
        ),
        Stage(
            "export",
            "bundle",
            _settings(config.export),
            ("bundle", "export.json"),
            ("bundle/spec.json", "export.json"),
            partial(export_policy, config.export),
        ),
        Stage(
            "robot",
            "trials on the robot graph",
            [_settings(config.robot), config.busy_trials],
            (*trials, "busy_trials"),
            (
                "trials/trials.json",
                "trials/load.json",
                "busy_trials/trials.json",
                "busy_trials/load.json",
            ),
            partial(_robot, config),
        ),
        Stage(
            "report",
            "report",
            {"target": config.target, "seed": config.seed},
            ("report.html", "summary.json"),
            ("report.html", "summary.json"),
            partial(_report, config),
        ),
    ]


def _prior(config: DemoConfig) -> None:
    if not (Path(config.prior.out) / "metrics.json").is_file():  # written last
        train_prior(config.prior)
    evaluate(config.prior_rollouts, "the prior's own rollouts")


def _rl(config: DemoConfig) -> None:
    train_side_by_side({"latent": config.rl, "scratch": config.scratch})
    in_z, path = config.policy_rollouts, Path(config.policy_rollouts.out)
    from_scratch = replace(
        in_z,
        agent=str(Path(config.scratch.out) / "policy.pt"),
        out=str(path.with_name(f"scratch_{path.name}")),
    )
    for rollouts, label in (
        (in_z, "policy in z, rollouts"),
        (from_scratch, "from scratch, rollouts"),
    ):
        if not Path(rollouts.out).is_file():
            evaluate(rollouts, label)


def _robot(config: DemoConfig) -> None:
    """The trials that count, then a few more while simulations keep every core busy, for the
    latencies alone.
    """
    log = config.folder / "robot.log"
    run_trials(config.robot, log)
    first_seed = config.robot.first_seed + config.robot.trials
    busy = replace(
        config.robot,
        folder=str(config.folder / "busy_trials"),
        trials=config.busy_trials,
        first_seed=first_seed,
    )
    with busy_simulations():
        run_trials(busy, log, "trials beside simulations")


def _report(config: DemoConfig) -> None:
    from conure_training.demo.report import write_report

    write_report(config.folder, asdict(config))


def _settings(config: Any) -> Any:
    """What of a configuration decides results: neither where things lie nor how many processes do
    the work.
    """
    return {name: value for name, value in asdict(config).items() if name not in PLACES | HOW}


def _closing_words(folder: Path, ran: bool) -> str:
    from conure_training.demo.summary import read_summary

    summary = read_summary(folder)
    lines = [] if ran else ["everything was finished before; fresh=true starts over"]
    rates = {
        "policy_success_sim": "policy in simulation",
        "policy_success_ros": "policy on the robot graph",
    }
    for name, label in rates.items():
        rate = summary[name]
        interval = f"95 % interval {100 * rate['low']:.0f} % to {100 * rate['high']:.0f} %"
        lines.append(f"{label}: {rate['successes']} of {rate['trials']}, {interval}")
    lines.append(summary["auxiliary_task"]["note"])
    unmet = [row["what"] for row in summary["required"] if not row["met"]]
    lines.append(f"not reached: {'; '.join(unmet)}" if unmet else "every required value is reached")
    return "\n".join([*lines, f"report: {folder / 'report.html'}"])
