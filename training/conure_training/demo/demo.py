"""`conure demo`: demonstrations, prior, RL in z, bundle, robot graph, report, step by step."""

from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from omegaconf import OmegaConf

from conure_core.config.loader import load_config
from conure_core.config.values import COUNT, SEED, bounds
from conure_core.errors import ConfigError
from conure_core.runtime.claim import claimed
from conure_sim.objects.sets import object_set
from conure_training.data.collect import DemosConfig, collect
from conure_training.demo.display import StepDisplay
from conure_training.demo.pipeline import PipelineStep, remove_steps, run_steps
from conure_training.evaluation.evaluate import EvaluateConfig, evaluate
from conure_training.evaluation.robot_trials import TrialsConfig, busy_simulations, run_trials
from conure_training.export.export import ExportConfig, export_policy
from conure_training.prior.train import PriorConfig, train_prior
from conure_training.rl.config import MethodConfig, RunConfig
from conure_training.rl.parallel import train_side_by_side


@dataclass(frozen=True)
class DemoConfig:
    """The configurations of all verbs that the demo calls, and the settings that they share."""

    out: str
    """Folder for everything."""

    fresh: bool
    """Remove earlier results and start over."""

    seed: int = field(metadata=SEED)
    """Decides every step."""

    target: str
    """Object that the policy learns to lift."""

    noise_scale: float = field(metadata=bounds(0.0, 3.0))
    """Scale of the policy's noise in rollouts and trials: 1 samples it, 0 takes its mean."""

    busy_trials: int = field(metadata=COUNT)
    """Trials beside simulations on every core, for latencies only."""

    estimates: dict[str, float] = field(metadata=bounds(0.0))
    """Expected seconds of each step."""

    demos: DemosConfig = field(default_factory=partial(OmegaConf.structured, DemosConfig))
    prior: PriorConfig = field(default_factory=partial(OmegaConf.structured, PriorConfig))
    prior_rollouts: EvaluateConfig = field(
        default_factory=partial(OmegaConf.structured, EvaluateConfig)
    )
    rl: RunConfig = field(default_factory=partial(OmegaConf.structured, RunConfig))
    scratch: MethodConfig = field(default_factory=MethodConfig)
    policy_rollouts: EvaluateConfig = field(
        default_factory=partial(OmegaConf.structured, EvaluateConfig)
    )
    export: ExportConfig = field(default_factory=partial(OmegaConf.structured, ExportConfig))
    robot: TrialsConfig = field(default_factory=partial(OmegaConf.structured, TrialsConfig))

    def __post_init__(self) -> None:
        if self.target not in object_set(self.rl.objects):
            names = ", ".join(object_set(self.rl.objects))
            raise ConfigError(
                f"target '{self.target}' is not among the {self.rl.objects} objects: {names}"
            )
        missing = {step.name for step in pipeline_steps(self)} - set(self.estimates)
        if missing:
            raise ConfigError(f"estimates lacks {', '.join(sorted(missing))}")

    @property
    def folder(self) -> Path:
        """Path of `out`."""
        return Path(self.out)

    @property
    def from_scratch(self) -> RunConfig:
        """Reinforcement learning from scratch, on the same task, with the same seed and steps."""
        return replace(self.rl, method=self.scratch, out=str(self.folder / "rl" / "scratch"))


def run(overrides: list[str]) -> None:
    """Run the whole pipeline: from demonstrations to a report."""
    config = load_config("conure_training.conf", "demo", DemoConfig, overrides)
    steps = pipeline_steps(config)
    with claimed(config.folder, "conure demo"):
        if config.fresh:
            remove_steps(config.folder, steps)
        with StepDisplay(steps, config.estimates) as display:
            ran = run_steps(config.folder, steps, display)
    print(_conclude(config.folder, ran))


def pipeline_steps(config: DemoConfig) -> list[PipelineStep]:
    """List the six steps, in order."""
    return [
        PipelineStep(
            "demonstrations",
            "demonstrations",
            config.demos,
            ("demos", "demos.blocks"),
            ("demos",),
            partial(collect, config.demos),
        ),
        PipelineStep(
            "prior",
            "behavioral prior",
            [config.prior, config.prior_rollouts],
            ("prior",),
            ("prior/prior.pt", "prior/metrics.json", "prior/rollouts.json"),
            partial(_prior, config),
        ),
        PipelineStep(
            "rl",
            "RL in z, and from scratch",
            [config.rl, config.scratch, config.policy_rollouts],
            ("rl",),
            ("rl/latent/policy.pt", "rl/rollouts.json", "rl/scratch_rollouts.json"),
            partial(_rl, config),
        ),
        PipelineStep(
            "export",
            "bundle",
            config.export,
            ("bundle", "export.json"),
            ("bundle/spec.json", "export.json"),
            partial(export_policy, config.export),
        ),
        PipelineStep(
            "robot",
            "trials on the robot graph",
            [config.robot, config.busy_trials],
            ("trials", "robot.log", "busy_trials"),
            (
                "trials/trials.json",
                "trials/load.json",
                "busy_trials/trials.json",
                "busy_trials/load.json",
            ),
            partial(_robot, config),
        ),
        PipelineStep(
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
    train_side_by_side({"latent": config.rl, "scratch": config.from_scratch})
    in_z = config.policy_rollouts
    path = Path(in_z.out)
    from_scratch = replace(
        in_z,
        agent=str(Path(config.from_scratch.out) / "policy.pt"),
        out=str(path.with_name(f"scratch_{path.name}")),
    )
    if not Path(in_z.out).is_file():
        evaluate(in_z, "policy in z, rollouts")
    if not Path(from_scratch.out).is_file():
        evaluate(from_scratch, "from scratch, rollouts")


def _robot(config: DemoConfig) -> None:
    """Run the trials that count, then a few beside busy simulations, for latencies only."""
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


def _conclude(folder: Path, ran: bool) -> str:
    """The lines that end `conure demo`."""
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
