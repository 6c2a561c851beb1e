"""The loop that every method of `conure rl` runs in: act, store whole episodes, update, now and
then evaluate. What learns from recorded data takes those gradient steps before the first episode.

The state of the run is written at the ends of episodes and between gradient steps of offline
learning; the same command resumes it, and it ends as an uninterrupted run would.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.provenance import git_commit
from conure_training.nn.divergence import diverging
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.actor_critic import ActorCritic
from conure_training.rl.learners.learner import Metrics, OnlineConfig
from conure_training.rl.method import Method
from conure_training.rl.replay import Batch, Episode, MixedReplay
from conure_training.runtime.parallel import progress_bar
from conure_training.runtime.tensorboard import RunLog
from conure_training.runtime.torch_files import START_OVER, load_checkpoint, readable, save_torch

RECENT_EPISODES = 50
PROGRESS = "progress.json"
"""The record of a run that is not finished, as of its last checkpoint."""
EPISODE_SEEDS = 2_000_000
EVALUATION_SEEDS = 6_000_000
GRADIENT_STEPS_A_RECORD = 500
"""Gradient steps of offline learning between two entries of their record."""


class Loop:
    """One run: `run` spends the budget of steps; `curve` and `evaluations` say how it went.

    `evaluation_env`: an environment of the evaluations' own, so that they leave the training's
    random stream alone.
    """

    def __init__(
        self, config: RunConfig, method: Method, env: Any, evaluation_env: Any = None
    ) -> None:
        self.config = config
        self.identity = config.identity()
        self.method = method
        self.env = method.environment(env)
        self.evaluation_env = evaluation_env and method.environment(evaluation_env)
        self.learner = method.learner
        self.replay = method.replay
        self.curve: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self.gradient_steps: list[dict[str, Any]] = []
        self.steps = 0
        self.wall_s = 0.0
        self._started_s = 0.0
        self.generator = torch.Generator().manual_seed(config.seed + 7)

    def run(self, on_episode: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Until the budget of steps is spent."""
        config = self.config
        self._resume()
        self._started_s = time.monotonic() - self.wall_s
        steps_before = self.steps
        checkpoint_due = self.steps + config.checkpoint_every
        folder = Path(config.out) / "tensorboard" if config.tensorboard else None
        with (
            progress_bar() as bar,
            RunLog(folder, self.steps) as log,
            diverging(lambda: self.steps, Path(config.out) / "checkpoint.pt"),
        ):
            self._learn_offline(bar, log)
            wall_before = self.wall_s
            task = bar.add_task(
                f"rl ({config.method.name})", total=config.steps, completed=self.steps, note=""
            )
            self._evaluate_if_due(log)
            while self.steps < config.steps:
                before = self.steps
                episode = self._episode()
                self._update(before)
                self._count_time()
                rate = (self.steps - steps_before) / (self.wall_s - wall_before)
                recent = np.mean([entry["success"] for entry in self.curve[-RECENT_EPISODES:]])
                bar.update(
                    task,
                    completed=min(self.steps, config.steps),
                    note=f"success {recent:.0%}, {rate:.0f} steps/s",
                )
                log.write(
                    {**self.curve[-1], "recent_success": float(recent), "steps_per_s": rate},
                    self.steps,
                )
                self._evaluate_if_due(log)
                if on_episode:
                    on_episode(episode)
                if self.steps >= checkpoint_due:
                    self._checkpoint()
                    checkpoint_due = self.steps + config.checkpoint_every

    def save(self, path: Path, note: dict[str, Any]) -> None:
        """Write the averaged policy.

        Args:
            path: The file.
            note: Kept beside the weights, for people.
        """
        self.learner.require_finite_weights()
        self.method.save(path, note)

    def record(self) -> dict[str, Any]:
        """What the run's JSON file holds.

        "config"; "episodes", each with "steps" so far, "success" and the last update's metrics;
        "evaluations", each with "steps", "success" (a rate), "episodes" and "seconds" of the run so
        far; "gradient_steps", of offline learning, each with "updates" so far and that update's
        metrics; "figures", the method's own metrics; "wall_s"; "commit".
        """
        about = {"figures": self.method.metrics, "wall_s": self.wall_s, "commit": git_commit()}
        return {
            "config": asdict(self.config),
            "episodes": self.curve,
            "evaluations": self.evaluations,
            "gradient_steps": self.gradient_steps,
            **about,
        }

    def _episode(self) -> dict[str, Any]:
        seed = EPISODE_SEEDS + 100_000 * self.config.seed + len(self.curve)
        observation, info = self.env.reset(seed=seed)
        seen = [self.method.observe(observation)]
        actions: list[Tensor] = []
        rewards: list[float] = []
        done = False
        while not done:
            batch = {name: value[None] for name, value in seen[-1].items()}
            action = self.learner.act(batch, self.generator)
            command = self.method.command(batch, action)[0].cpu()
            observation, reward, terminated, truncated, info = self.env.step(command.numpy())
            seen.append(self.method.observe(observation))
            actions.append(action[0].cpu())
            rewards.append(float(reward))
            self.steps += info.get("env_steps", 1)
            done = terminated or truncated
        stacked = {name: torch.stack([row[name] for row in seen]) for name in seen[0]}
        ended = terminated or self.config.timeout_fails
        self.replay.add(Episode(stacked, torch.stack(actions), torch.tensor(rewards), ended))
        entry = {
            "steps": self.steps,
            "success": info["is_success"],
            "any_lifted": info.get("any_lifted", False),
        }
        self.curve.append(entry)
        return entry

    def _update(self, steps_before: int) -> None:
        learner = self.learner
        config = learner.config
        if not isinstance(config, OnlineConfig) or config.updates_per_step == 0:
            return
        if learner.updates == 0:
            learner.fit_normalizers(self.replay)
            if isinstance(learner, ActorCritic) and isinstance(self.replay, MixedReplay):
                source = self.replay.demonstrations
                for _ in range(learner.config.critic_pretraining_updates):
                    batch = source.sample(learner.config.batch_size, learner.generator)
                    learner.update(batch, critic_only=True)
        metrics: dict[str, float] = {}
        for _ in range(config.updates_due(steps_before, self.steps)):
            metrics = learner.update(self._sample())
        self.curve[-1].update(_rounded(metrics))

    def _learn_offline(self, bar: Progress, log: RunLog) -> None:
        """Take the gradient steps that come before the first episode, if the method has some."""
        learner = self.learner
        wanted = learner.offline_updates
        if not wanted:
            return
        task = bar.add_task(
            f"offline learning ({self.config.method.name})",
            total=wanted,
            completed=learner.updates,
            note="",
        )
        if learner.updates == 0:
            learner.fit_normalizers(self.replay)
        while learner.updates < wanted:
            metrics = learner.update(self._sample())
            done = learner.updates
            bar.update(task, completed=done, note=f"Q {metrics['q']:.2f}")
            self._count_time()
            if done % GRADIENT_STEPS_A_RECORD == 0 or done == wanted:
                self.gradient_steps.append({"updates": done, **_rounded(metrics)})
                log.write({f"offline_{name}": value for name, value in metrics.items()}, done)
            if done % self.config.checkpoint_every == 0:
                self._checkpoint()

    def _count_time(self) -> None:
        self.wall_s = time.monotonic() - self._started_s

    def _sample(self) -> Batch:
        return self.replay.sample(self.learner.config.batch_size, self.learner.generator)

    # Evaluation.

    def _evaluate_if_due(self, log: RunLog) -> None:
        """Before the first step and every `evaluate_every`; late by the rest of an episode at
        most.
        """
        every = self.config.evaluate_every
        if every and self.steps >= every * len(self.evaluations):
            rate = evaluate_learner(self.config, self.method, self.evaluation_env)
            # By episodes longer than the period.
            skipped = self.steps // every - len(self.evaluations)
            entry = {
                "steps": self.steps,
                "success": rate,
                "episodes": self.config.evaluate_episodes,
            }
            entry["seconds"] = round(self.wall_s, 3)
            self.evaluations += [entry] * (1 + max(0, skipped))
            log.write({"evaluated_success": rate}, self.steps)

    # Resuming a run that was cut off.

    def _checkpoint(self) -> None:
        self.learner.require_finite_weights()
        data = {
            "identity": self.identity,
            "learner": self.learner.state_dict(),
            "replay": self.replay.state_dict(),
            "generator": self.generator.get_state(),
            "steps": self.steps,
            "curve": self.curve,
            "evaluations": self.evaluations,
            "gradient_steps": self.gradient_steps,
            "wall_s": self.wall_s,
        }
        save_torch(Path(self.config.out) / "checkpoint.pt", data)
        write_json(Path(self.config.out) / PROGRESS, self.record())

    def _resume(self) -> None:
        path = Path(self.config.out) / "checkpoint.pt"
        data = load_checkpoint(path, self.identity)
        if data is None:
            return
        with readable(path, START_OVER):
            self.learner.load_state_dict(data["learner"])
            self.replay.load_state_dict(data["replay"])
            self.generator.set_state(data["generator"])
            self.steps = data["steps"]
            self.curve = data["curve"]
            self.evaluations = data["evaluations"]
            self.gradient_steps = data["gradient_steps"]
            self.wall_s = data["wall_s"]


def _rounded(metrics: Metrics) -> Metrics:
    return {name: round(value, 4) for name, value in metrics.items()}


def evaluate_learner(config: RunConfig, method: Method, env: Any) -> float:
    """Measure the averaged policy on fixed seeds; the learner is left as it was.

    Args:
        config: Says how many episodes, and the noise's scale in them.
        method: The method, whose learner's averaged policy acts.
        env: An environment of the evaluations' own.

    Returns:
        Success rate over `evaluate_episodes`, in [0, 1].
    """
    with method.learner.averaged():
        successes = [
            _success(method, env, EVALUATION_SEEDS + index, config.evaluate_noise_scale)
            for index in range(config.evaluate_episodes)
        ]
    return sum(successes) / len(successes)


def _success(method: Method, env: Any, seed: int, noise_scale: float) -> bool:
    generator = torch.Generator().manual_seed(seed)
    observation, info = env.reset(seed=seed)
    done = False
    while not done:
        batch = {name: value[None] for name, value in method.observe(observation).items()}
        action = method.learner.act(batch, generator, noise_scale=noise_scale, exploring=False)
        command = method.command(batch, action)[0].cpu()
        observation, _, terminated, truncated, info = env.step(command.numpy())
        done = terminated or truncated
    return bool(info["is_success"])
