"""`conure prior` itself, timed step by step while the authors' prior takes turns with it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.profiler import profile

from conure_core.config import load_config
from conure_core.robot import load_robot
from conure_sim.envs.static_scenes import StaticScenes
from conure_training.benchmarks.timing import each_call_s
from conure_training.data.demonstrations import Demonstrations, save_demonstrations
from conure_training.prior.feature_cache import batch_encoder
from conure_training.prior.model import load_prior
from conure_training.prior.train import PriorConfig, train_prior
from conure_training.runtime.cpu_threads import FreeCores

EPISODE_STEPS = 25
PROFILED_STEPS = 3
ENCODINGS = 5
PHASES = ("encoder", "joint", "flow")
LOADING = ("aten::index", "aten::randint", "aten::cat")
"""Drawing, gathering, joining. Networks and losses gather and join a little too: the share is an
upper bound.
"""


@dataclass
class StepTimes:
    """Of one phase: seconds a step, ours and the peer's, and the share of ours that went into
    loading data.
    """

    ours_s: list[float] = field(default_factory=list)
    peer_s: list[float] = field(default_factory=list)
    loading_share: float = 0.0


@dataclass(frozen=True)
class PriorTimes:
    """The three phases of `conure prior` by name, and what it takes to encode a frame for the last
    of them, s.
    """

    phases: dict[str, StepTimes]
    encoding_s: float

    def rate(self, config: PriorConfig, demonstration_steps: int) -> float:
        """Samples of the likelihood a second over a whole run of this configuration, everything but
        data counted.
        """
        samples = (
            config.joint_steps * config.batch_size + config.flow_steps * config.flow_batch_size
        )
        steps = {
            "encoder": config.encoder_steps,
            "joint": config.joint_steps,
            "flow": config.flow_steps,
        }
        taken_s = sum(
            count * float(np.median(self.phases[name].ours_s)) for name, count in steps.items()
        )
        return samples / (taken_s + demonstration_steps * self.encoding_s)


def prior_steps(
    folder: Path, arm: str, image_size: int, scenes: int, steps: int, peer: Callable[[], object]
) -> tuple[PriorTimes, PriorConfig]:
    """The phases "encoder", "joint" (the peer takes a turn after each of its steps) and "flow"."""
    data = write_demonstrations(folder / "demos", arm, image_size, scenes)
    counted = PROFILED_STEPS + 2 + steps
    words = [
        f"demos={folder / 'demos'}",
        f"out={folder / 'prior'}",
        f"arm={arm}",
        f"static_scenes={scenes}",
    ]
    words += [f"{phase}_steps={counted}" for phase in PHASES]
    config = load_config("conure_training.conf", "prior", PriorConfig, words)
    recorder = _Recorder(counted, peer)
    hook = register_optimizer_step_post_hook(recorder)
    try:
        train_prior(config)
    finally:
        hook.remove()
    return PriorTimes(recorder.phases, _encoding_s(folder / "prior" / "prior.pt", data)), config


def write_demonstrations(path: Path, arm: str, image_size: int, count: int) -> Demonstrations:
    """A data set for timing, and to learn nothing from: `count` rendered scenes as its steps, with
    random actions.
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
    """For a frame, as training does it: without gradients, on all free cores."""
    encode = batch_encoder(load_prior(prior).encoder)
    with FreeCores():
        taken = each_call_s(lambda: encode(data.image, data.proprio), ENCODINGS)
    return float(np.median(taken)) / len(data.image)


class _Recorder:
    """Called after every optimizer step: the first ones of a phase are profiled, the others
    timed.
    """

    def __init__(self, steps: int, peer: Callable[[], object]) -> None:
        self.steps, self.peer = steps, peer
        self.phases = {phase: StepTimes() for phase in PHASES}
        self.step, self.at_peer, self.began = 0, False, 0.0
        self.profile: Any = None

    def __call__(self, *_: Any) -> None:
        if self.at_peer:
            return
        ended = time.perf_counter()
        name, step = PHASES[self.step // self.steps], self.step % self.steps
        phase = self.phases[name]
        if step == 0:
            self.profile = profile()
            self.profile.start()
        elif step == PROFILED_STEPS:
            self.profile.stop()
            phase.loading_share = _share(self.profile)
        elif step > PROFILED_STEPS + 1:
            phase.ours_s.append(ended - self.began)
        if name == "joint" and step > PROFILED_STEPS:
            phase.peer_s.append(self._peer_step_s())
        self.step += 1
        self.began = time.perf_counter()

    def _peer_step_s(self) -> float:
        self.at_peer, began = True, time.perf_counter()
        with torch.enable_grad():
            self.peer()
        self.at_peer = False
        return time.perf_counter() - began


def _share(finished: Any) -> float:
    events = finished.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    return float(sum(event.cpu_time_total for event in events if event.key in LOADING) / total)
