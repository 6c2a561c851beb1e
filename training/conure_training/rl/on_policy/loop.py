"""The loop that on-policy methods of `conure rl` run in: collect whole episodes, update, now and
then evaluate.

An update begins no episode before the last one's are finished, so that a checkpoint needs no state
of an environment; the same command resumes a run, and it ends as an uninterrupted one would.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.provenance import git_commit
from conure_training.nn.divergence import diverging, require_finite_weights
from conure_training.nn.weights import seeded
from conure_training.rl.config import RunConfig
from conure_training.rl.loop import EVALUATION_SEEDS, PROGRESS, RECENT_EPISODES
from conure_training.rl.on_policy.collection import Block, CollectBlock, MakeEnvironments
from conure_training.rl.on_policy.config import OnPolicyConfig
from conure_training.rl.on_policy.networks import ActorCriticNetwork, NetworkSize
from conure_training.rl.on_policy.observations import Rows, as_tensors, stack, take
from conure_training.rl.on_policy.policy import save_policy
from conure_training.rl.on_policy.ppo import Ppo, Unchanged
from conure_training.rl.on_policy.trajectories import (
    RewardModel,
    TaskReward,
    Trajectory,
    make_batch,
)
from conure_training.rl.on_policy.trpo import Trpo
from conure_training.rl.on_policy.workers import Workers, open_workers
from conure_training.runtime.parallel import make_engine, progress_bar
from conure_training.runtime.tensorboard import RunLog
from conure_training.runtime.torch_files import load_checkpoint, readable, save_torch


class Curriculum(Protocol):
    """Decides how episodes begin."""

    def options(self) -> dict[str, Any]:
        """What every reset gets until the next update."""
        ...

    def update(self, trajectories: list[Trajectory]) -> dict[str, float]:
        """Count finished episodes; returns metrics."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        ...


class TrueStart:
    """Episodes begin where the environment's own reset begins them."""

    def options(self) -> dict[str, Any]:
        return {}

    def update(self, trajectories: list[Trajectory]) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@dataclass(frozen=True)
class OnPolicyMethod:
    """What the loop needs of a method."""

    config: OnPolicyConfig
    """Its settings."""
    size: NetworkSize
    """Of its network."""
    make: MakeEnvironments
    """The environments that it learns in."""
    evaluation: Any
    """One environment to evaluate in, from the true start."""
    curriculum: Curriculum = field(default_factory=TrueStart)
    """How episodes begin."""
    reward: RewardModel = field(default_factory=TaskReward)
    """What the learner gets for its actions."""
    first_rows: Rows = None
    """Observations, numpy's, that inputs are scaled by before the first episode; None: they are not
    scaled then."""
    prepare: Callable[[ActorCriticNetwork], None] | None = None
    """Done to the network before that, such as loading a part's weights."""
    save: Callable[..., None] = save_policy
    """Writes the policy, see `save_policy`."""
    pretrain: Callable[[ActorCriticNetwork], Any] | None = None
    """Trains the network before the first episode; inputs then stay scaled by `first_rows`, which
    what it learned rests on. None: the first policy is untrained."""
    pretraining_steps: int = 0
    """Environment steps that this takes, which count as the run's first."""


@contextmanager
def open_on_policy_loop(
    run: RunConfig, build: Callable[[RunConfig, Any], OnPolicyMethod]
) -> Iterator["OnPolicyLoop"]:
    """Open a run with its workers.

    Args:
        run: The run, of an on-policy method.
        build: Makes the method.

    Yields:
        The loop; its environments and workers end with the block.
    """
    method = build(run, run.method)
    with closing(method.evaluation), open_workers(make_engine(method.config)) as workers:
        yield OnPolicyLoop(run, method, workers)


class OnPolicyLoop:
    """One run: `run` spends the budget of steps; `curve`, `updates` and `evaluations` say how it
    went.
    """

    def __init__(self, run: RunConfig, method: OnPolicyMethod, workers: Workers) -> None:
        """Make the network and its learner.

        Args:
            run: The run.
            method: What learns, and where.
            workers: Collect the episodes.
        """
        self.config = run
        self.method = method
        self.workers = workers
        with seeded(run.seed):
            self.network = method.size.make()
        if method.prepare is not None:
            method.prepare(self.network)
        if method.first_rows is not None:
            perceived = self.network.perceive(as_tensors(method.first_rows))
            self.network.update_normalizers(perceived)
        settings = method.config
        self.learner = _make_learner(self.network, settings, run.seed)
        self.curve: list[dict[str, Any]] = []
        self.updates: list[dict[str, float]] = []
        self.evaluations: list[dict[str, Any]] = []
        self.steps = 0
        self.wall_s = 0.0
        self.cpu_s = 0.0

    def run(self, on_episode: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Until the budget of steps is spent."""
        config = self.config
        if not self._resume() and self.method.pretrain is not None:
            self.method.pretrain(self.network)
            self.steps = self.method.pretraining_steps
        clock = _Clock(self.wall_s, self.cpu_s)
        steps_before = self.steps
        checkpoint_due = self.steps + config.checkpoint_every
        folder = Path(config.out) / "tensorboard" if config.tensorboard else None
        with (
            progress_bar() as bar,
            RunLog(folder, self.steps) as log,
            diverging(lambda: self.steps, Path(config.out) / "checkpoint.pt"),
        ):
            task = bar.add_task(
                f"rl ({config.method.name})", total=config.steps, completed=self.steps, note=""
            )
            self._evaluate_if_due(log)
            while self.steps < config.steps:
                entries = self._update()
                self.wall_s, self.cpu_s = clock.read()
                rate = (self.steps - steps_before) / clock.elapsed_s()
                recent = float(
                    np.mean([entry["success"] for entry in self.curve[-RECENT_EPISODES:]])
                )
                note = f"success {recent:.0%}, {rate:.0f} steps/s"
                bar.update(task, completed=min(self.steps, config.steps), note=note)
                log.write({**self.updates[-1], "recent_success": recent}, self.steps)
                self._evaluate_if_due(log)
                for entry in entries if on_episode else ():
                    on_episode(entry)  # type: ignore[misc]
                if self.steps >= checkpoint_due:
                    self._checkpoint()
                    checkpoint_due = self.steps + config.checkpoint_every

    def _require_finite_weights(self) -> None:
        """Raises: Diverged if the network must not be written."""
        remedy = f"give a lower rate of method.{self.method.config.algorithm}"
        require_finite_weights({"network": self.network}, remedy)

    def record(self) -> dict[str, Any]:
        """What the run's JSON file holds: as rl.loop.Loop.record, and "cpu_s" of this process; the
        metrics of every update are in "figures".
        """
        return {
            "config": asdict(self.config),
            "episodes": self.curve,
            "evaluations": self.evaluations,
            "figures": {"updates": self.updates},
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
            "commit": git_commit(),
        }

    def save(self, path: Path, note: dict[str, Any]) -> None:
        """Write the policy.

        Args:
            path: The file.
            note: Kept beside the weights, for people.
        """
        self._require_finite_weights()
        contract = getattr(self.method.evaluation.unwrapped, "contract", None)
        self.method.save(path, self.network, self.config.task, contract, note)

    def collect(self) -> list[Trajectory]:
        """Collect the next update's episodes."""
        settings = self.method.config
        work = CollectBlock(
            run=self.config.out,
            make=self.method.make,
            size=self.method.size,
            weights=self.network.state_dict(),
            options=self.method.curriculum.options(),
        )
        blocks = [
            Block(
                seed=(self.config.seed, len(self.updates), index),
                environments=settings.environments,
                steps=settings.rollout_steps,
            )
            for index in range(settings.blocks)
        ]
        parts = self.workers.collect(work, blocks)
        return [trajectory for part in parts for trajectory in part]

    def _update(self) -> list[dict[str, Any]]:
        """Collect and learn; the curve's new entries."""
        settings = self.method.config
        trajectories = self.collect()
        rewarded, metrics = self.method.reward.relabel(trajectories)
        batch = make_batch(self.network, rewarded, settings.gamma, settings.lam)
        metrics |= self.learner.update(batch)
        if self.method.pretrain is None:
            self.network.update_normalizers(take(batch.observation, batch.trained))
        entries = []
        for item in trajectories:
            self.steps += len(item) - item.burn_in
            entries.append({"steps": self.steps, "success": bool(item.info["is_success"])})
        self.curve += entries
        metrics |= self.method.curriculum.update(trajectories)
        rounded = {name: round(value, 5) for name, value in metrics.items()}
        self.updates.append({"steps": self.steps, **rounded})
        return entries

    # Evaluation.

    def _evaluate_if_due(self, log: RunLog) -> None:
        """Before the first step and every `evaluate_every`; late by an update at most."""
        every = self.config.evaluate_every
        if not every or self.steps < every * len(self.evaluations):
            return
        skipped = self.steps // every - len(self.evaluations)
        rate = self.evaluate()
        entry = {
            "steps": self.steps,
            "success": rate,
            "episodes": self.config.evaluate_episodes,
            "seconds": round(self.wall_s, 3),
            "cpu_seconds": round(self.cpu_s, 3),
        }
        self.evaluations += [entry] * (1 + max(0, skipped))
        log.write({"evaluated_success": rate}, self.steps)

    def evaluate(self) -> float:
        """Success rate of the present policy from the true start, on fixed seeds."""
        episodes = self.config.evaluate_episodes
        successes = [self._succeeds(EVALUATION_SEEDS + index) for index in range(episodes)]
        return sum(successes) / episodes

    @torch.no_grad()
    def _succeeds(self, seed: int) -> bool:
        env = self.method.evaluation
        generator = torch.Generator().manual_seed(seed)
        observation, _ = env.reset(seed=seed)
        network = self.network
        memory = network.begin(1)
        done = False
        while not done:
            rows = network.perceive(as_tensors(stack([observation])))
            scale = self.config.evaluate_noise_scale
            action, memory = network.act(rows, memory, generator, scale)
            command = network.command(rows, action)[0].numpy()
            given = int(command) if command.ndim == 0 else command
            observation, _, terminated, truncated, info = env.step(given)
            done = terminated or truncated or info["is_success"]
        return bool(info["is_success"])

    # Resuming a run that was cut off.

    def _checkpoint(self) -> None:
        self._require_finite_weights()
        data = {
            "identity": self.config.identity(),
            "learner": self.learner.state_dict(),
            "curriculum": self.method.curriculum.state_dict(),
            "reward": self.method.reward.state_dict(),
            "steps": self.steps,
            "curve": self.curve,
            "updates": self.updates,
            "evaluations": self.evaluations,
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
        }
        save_torch(Path(self.config.out) / "checkpoint.pt", data)
        write_json(Path(self.config.out) / PROGRESS, self.record())

    def _resume(self) -> bool:
        """Load the checkpoint; whether there is one."""
        path = Path(self.config.out) / "checkpoint.pt"
        data = load_checkpoint(path, self.config.identity())
        if data is None:
            return False
        with readable(path, "remove it to start over"):
            self.learner.load_state_dict(data["learner"])
            self.method.curriculum.load_state_dict(data["curriculum"])
            self.method.reward.load_state_dict(data["reward"])
            self.steps = data["steps"]
            self.curve = data["curve"]
            self.updates = data["updates"]
            self.evaluations = data["evaluations"]
            self.wall_s = data["wall_s"]
            self.cpu_s = data["cpu_s"]
        return True


def _make_learner(
    network: ActorCriticNetwork, settings: OnPolicyConfig, seed: int
) -> Ppo | Trpo | Unchanged:
    if settings.algorithm == "ppo":
        return Ppo(network, settings.ppo, seed)
    if settings.algorithm == "trpo":
        return Trpo(network, settings.trpo, seed)
    return Unchanged(network)


class _Clock:
    """Wall-clock and processor time of a run, with those of its earlier parts."""

    def __init__(self, wall_s: float, cpu_s: float) -> None:
        self._wall_before, self._cpu_before = wall_s, cpu_s
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._wall

    def read(self) -> tuple[float, float]:
        cpu_s = time.process_time() - self._cpu
        return self._wall_before + self.elapsed_s(), self._cpu_before + cpu_s
