"""Timing of `conure prior` step by step, in turns with the prior of PARROT's authors."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.profiler import profile

from conure_core.config.loader import load_config
from conure_core.robot.description import load_robot
from conure_sim.envs.static_scenes import StaticScenes
from conure_training.benchmarks.timing import each_call_s
from conure_training.data.demonstrations import Demonstrations
from conure_training.data.writer import save_demonstrations
from conure_training.prior.feature_cache import batch_encoder
from conure_training.prior.model import load_prior
from conure_training.prior.train import PriorConfig, train_prior
from conure_training.runtime.cpu_threads import FreeCores

EPISODE_STEPS = 25
PROFILED_STEPS = 3
ENCODINGS = 5
PHASES = ("encoder", "joint", "flow")
LOADING = ("aten::index", "aten::randint", "aten::cat")
"""Operators that draw, gather and join. Networks and losses use them a little too: the share is an
upper bound.
"""


@dataclass
class StepTimes:
    """The steps of one phase."""

    ours_s: list[float] = field(default_factory=list)
    """Seconds of each of our steps."""

    baseline_s: list[float] = field(default_factory=list)
    """Seconds of each of the baseline's steps."""

    loading_share: float = 0.0
    """Share of our steps' time that goes into loading data."""


@dataclass(frozen=True)
class PriorTimes:
    """The times of a training."""

    phases: dict[str, StepTimes]
    """The three phases, by name."""

    encoding_s: float
    """Seconds to encode one frame for the last phase."""

    def rate(self, config: PriorConfig, demonstration_steps: int) -> float:
        """Compute the throughput of a whole run; rendering, loading and saving are not counted.

        Args:
            config: Of the run.
            demonstration_steps: Frames that are encoded once.

        Returns:
            Samples of the likelihood a second.
        """
        joint_samples = config.joint_steps * config.batch_size
        flow_samples = config.flow_steps * config.flow_batch_size
        steps = {
            "encoder": config.encoder_steps,
            "joint": config.joint_steps,
            "flow": config.flow_steps,
        }
        taken_s = demonstration_steps * self.encoding_s
        for name, count in steps.items():
            taken_s += count * float(np.median(self.phases[name].ours_s))
        return (joint_samples + flow_samples) / taken_s


def prior_steps(
    folder: Path, arm: str, image_size: int, scenes: int, steps: int, baseline: Callable[[], object]
) -> tuple[PriorTimes, PriorConfig]:
    """Train a prior and time its phases.

    Args:
        folder: For demonstrations and prior.
        arm: Name of an arm.
        image_size: Height and width of the images, px.
        scenes: Static scenes, and demonstrated steps.
        steps: Timed steps of each phase.
        baseline: Takes one step of the baseline; called after each step of the phase "joint".

    Returns:
        The times, and the configuration that was trained.
    """
    data = write_demonstrations(folder / "demos", arm, image_size, scenes)
    counted = PROFILED_STEPS + 2 + steps
    words = [
        f"demos={folder / 'demos'}",
        f"out={folder / 'prior'}",
        f"arm={arm}",
        f"static_scenes={scenes}",
    ]
    for phase in PHASES:
        words.append(f"{phase}_steps={counted}")
    config = load_config("conure_training.conf", "prior", PriorConfig, words)
    recorder = _Recorder(counted, baseline)
    hook = register_optimizer_step_post_hook(recorder)
    try:
        train_prior(config)
    finally:
        hook.remove()
    return PriorTimes(recorder.phases, _encoding_s(folder / "prior" / "prior.pt", data)), config


def write_demonstrations(path: Path, arm: str, image_size: int, count: int) -> Demonstrations:
    """Write a data set for timing: rendered scenes as steps, with random actions.

    Args:
        path: Folder of the data set.
        arm: Name of an arm.
        image_size: Height and width of the images, px.
        count: Steps.

    Returns:
        The data.
    """
    labelled = StaticScenes(arm, image_size, randomization="light").draw(count, seed=1)
    rng = np.random.default_rng(0)
    ends = np.append(np.arange(EPISODE_STEPS, count, EPISODE_STEPS), count)
    present = np.isfinite(labelled.container[:, :1])
    state = np.concatenate([np.nan_to_num(labelled.container), present], axis=1).astype(np.float32)
    action_dim = load_robot(arm).contract(image_size).action.values.shape[0]
    last = ends - 1
    data = Demonstrations(
        image=labelled.image,
        proprio=labelled.proprio,
        state=state,
        action=rng.uniform(-1.0, 1.0, (count, action_dim)).astype(np.float32),
        reward=np.zeros(count, dtype=np.float32),
        positions=labelled.positions,
        final_image=labelled.image[last],
        final_proprio=labelled.proprio[last],
        final_state=state[last],
        ends=ends.astype(np.int64),
        task=np.arange(len(ends), dtype=np.int64) % 2,
        seed=np.arange(len(ends), dtype=np.int64),
        tasks=("Lift", "Place"),
    )
    save_demonstrations(path, data, {})
    return data


def _encoding_s(prior: Path, data: Demonstrations) -> float:
    """Seconds to encode a frame as training does: without gradients, on all free cores."""
    encode = batch_encoder(load_prior(prior).encoder)
    with FreeCores():
        taken = each_call_s(lambda: encode(data.image, data.proprio), ENCODINGS)
    return float(np.median(taken)) / len(data.image)


class _Recorder:
    """A hook after every optimizer step: profiles the first steps of a phase, times the others."""

    def __init__(self, steps: int, baseline: Callable[[], object]) -> None:
        self.steps = steps
        self.baseline = baseline
        self.phases = {phase: StepTimes() for phase in PHASES}
        self.step = 0
        self.at_baseline = False
        self.start_s = 0.0
        self.profile: Any = None

    def __call__(self, *_: Any) -> None:
        if self.at_baseline:
            return
        end_s = time.perf_counter()
        name = PHASES[self.step // self.steps]
        step = self.step % self.steps
        phase = self.phases[name]
        if step == 0:
            self.profile = profile()
            self.profile.start()
        elif step == PROFILED_STEPS:
            self.profile.stop()
            phase.loading_share = _share(self.profile)
        elif step > PROFILED_STEPS + 1:
            phase.ours_s.append(end_s - self.start_s)
        if name == "joint" and step > PROFILED_STEPS:
            phase.baseline_s.append(self._baseline_step_s())
        self.step += 1
        self.start_s = time.perf_counter()

    def _baseline_step_s(self) -> float:
        self.at_baseline = True
        start_s = time.perf_counter()
        with torch.enable_grad():
            self.baseline()
        self.at_baseline = False
        return time.perf_counter() - start_s


def _share(finished: Any) -> float:
    events = finished.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    loading = sum(event.cpu_time_total for event in events if event.key in LOADING)
    return float(loading / total)
