"""`conure bench training`: flow, prior and learner against their baselines."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import conure_training.benchmarks.measurements as measure
from conure_core.cli.bench_report import Row, measure_rows
from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.description import load_robot
from conure_training.benchmarks.prior_training import prior_steps
from conure_training.prior.train import PriorConfig


@dataclass(frozen=True)
class BenchTrainingConfig:
    """The settings of `conure bench training`."""

    out: str
    """JSON file for the report."""

    rows: list[str]
    """Names of the measurements, in order."""

    action_dim: int
    """Values of an action."""

    context_dim: int
    """Values of the flow's context."""

    couplings: int
    """Affine couplings of the flow."""

    hidden: list[int]
    """Hidden widths, all equal, of couplings, actor and critics."""

    batch_size: int
    """Rows in a large batch."""

    repeats: int
    """Timings that a median is of."""

    runtime_calls: int
    """Decodes by ONNX Runtime."""

    image_size: int
    """Height and width of the images, px."""

    authors_batch_size: int
    """Images in a step of the authors' prior."""

    prior_repeats: int
    """Timed steps of each phase of `conure prior`."""

    scenes: int
    """Static scenes, and demonstrated steps, for these."""

    demonstration_steps: int
    """Demonstrated frames of a whole run, whose encoding is counted."""

    arm: str
    """Name of an arm."""

    feature_dim: int
    """Values of the learners' observations."""

    replay_rows: int
    """Transitions in a replay buffer."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if row not in MEASUREMENTS:
                raise unknown_name("row of conure bench training", row, MEASUREMENTS)
        load_robot(self.arm)
        counts = [*(value for value in vars(self).values() if isinstance(value, int)), *self.hidden]
        if min(counts) < 1 or self.action_dim < 2:
            raise ConfigError(
                "every count of conure bench training must be at least 1, action_dim 2, got"
                f" {counts}"
            )
        if len(set(self.hidden)) != 1:
            raise ConfigError(f"hidden layers of one width are compared, got {self.hidden}")

    @property
    def size(self) -> measure.FlowSize:
        """Sizes of the flow."""
        hidden = tuple(self.hidden)
        return measure.FlowSize(self.action_dim, self.context_dim, self.couplings, hidden)


def run(overrides: list[str]) -> None:
    """Measure flow, prior and learner against their baselines."""
    config = load_config("conure_training.conf", "bench_training", BenchTrainingConfig, overrides)
    measure_rows(config, MEASUREMENTS)


def _flow(config: BenchTrainingConfig) -> Iterator[Row]:
    for batch, required in ((1, 2.0), (config.batch_size, 1.25)):
        times = measure.flow_times(config.size, batch, config.repeats)
        for name, (ours, theirs) in times.items():
            label = (
                f"flow {name}, batch {batch}, against zuko ({1 / ours:.0f} and {1 / theirs:.0f}"
                " calls/s)"
            )
            yield Row(label, theirs / ours, "times", required)


def _oracle(config: BenchTrainingConfig) -> Iterator[Row]:
    for dtype in (torch.float64, torch.float32):
        error = measure.log_prob_error(config.size, dtype, config.batch_size)
        label = (
            f"same weights in zuko, {str(dtype).removeprefix('torch.')}: largest difference of"
            " log-probability"
        )
        yield Row(label, error, "nats", None, 1e-5)


def _runtime(config: BenchTrainingConfig) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        taken_ms = 1e3 * measure.runtime_decode_s(config.size, config.runtime_calls, Path(folder))
    label = (
        f"flow decode in ONNX Runtime, batch 1, one core, p99 (median {np.median(taken_ms):.3f} ms)"
    )
    yield Row(label, float(np.percentile(taken_ms, 99)), "ms", None, 0.2)


def _prior(config: BenchTrainingConfig) -> Iterator[Row]:
    baseline = measure.authors_step(config.image_size, config.authors_batch_size)
    with tempfile.TemporaryDirectory() as folder:
        times, timed = prior_steps(
            Path(folder),
            config.arm,
            config.image_size,
            config.scenes,
            config.prior_repeats,
            baseline,
        )
    joint = times.phases["joint"]
    flow = times.phases["flow"]
    authors = config.authors_batch_size / float(np.median(joint.baseline_s))
    ours = timed.batch_size / float(np.median(joint.ours_s))
    cached = timed.flow_batch_size / float(np.median(flow.ours_s))
    usual = load_config("conure_training.conf", "prior", PriorConfig, [])
    whole = times.rate(usual, config.demonstration_steps)
    note = (
        "samples of the likelihood over all of conure prior: the encoder's own steps and encoding"
        f" {config.demonstration_steps} demonstrated frames once are counted; rendering, loading"
        " and saving are not"
    )
    label = f"prior training ({whole:.0f} samples/s) against the authors' ({authors:.0f})"
    yield Row(label, whole / authors, "times", 20.0, note=note)
    note = (
        f"a step also takes {timed.batch_size} images for the auxiliary task, which are not counted"
    )
    label = f"  encoder and flow together ({ours:.0f} samples/s)"
    yield Row(label, ours / authors, "times", note=note)
    label = f"  the flow alone, on cached features ({cached:.0f} samples/s)"
    yield Row(label, cached / authors, "times")
    for name, phase in (("encoder and flow", joint), ("flow", flow)):
        label = f"data loading, share of a step of {name}"
        yield Row(label, 100.0 * phase.loading_share, "%", None, 10.0)


def _sac(config: BenchTrainingConfig) -> Iterator[Row]:
    size = replace(config.size, context_dim=config.feature_dim)
    kinds = (
        (False, True, "critics of z as in the paper, actor on the whole batch"),
        (True, True, "critics of z, actor on its own half"),
        (False, False, "critics of actions, actor on the whole batch"),
        (True, False, "critics of actions, actor on its own half, as conure rl has it"),
    )
    for mixed, in_z, what in kinds:
        ours, theirs = measure.sac_times(
            size, config.batch_size, config.replay_rows, config.repeats, mixed, in_z
        )
        label = (
            f"latent SAC, {what}, against stable-baselines3's SAC ({1 / ours:.0f} and"
            f" {1 / theirs:.0f} updates/s)"
        )
        yield Row(label, theirs / ours, "times", 1.5)


MEASUREMENTS: dict[str, Callable[[BenchTrainingConfig], Iterator[Row]]] = {
    "flow": _flow,
    "oracle": _oracle,
    "runtime": _runtime,
    "prior": _prior,
    "sac": _sac,
}
