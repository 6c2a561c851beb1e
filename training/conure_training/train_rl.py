"""`conure rl`: latent SAC on a frozen prior, or SAC from scratch, on one task with a sparse reward.

Both learners run in one loop: act, store whole episodes, update. The state of the run is written at the ends of
episodes; the same command goes on from there, and ends as an uninterrupted run would.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_core.config import load_config
from conure_core.errors import ConfigError, DataError, unknown_name
from conure_sim.randomization import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_training.actor_critic import ActorCritic
from conure_training.agents import ImageAgent, LatentAgent, save_image_agent, save_latent_agent
from conure_training.dataset import load_demonstrations
from conure_training.demonstrated import demonstrated, encoding_by
from conure_training.environments import make_environment
from conure_training.files import UNREADABLE, save_torch, write_json
from conure_training.latent_sac import LatentSac, LatentSacConfig
from conure_training.prior import load_prior
from conure_training.replay import Episode, Field, MixedReplay, Replay, ReplayConfig
from conure_training.sac import Sac, SacConfig
from conure_training.workers import progress_bar

WHOLE_EPISODE = 1000
RECENT_EPISODES = 50
EPISODE_SEEDS = 2_000_000


@dataclass(frozen=True)
class RlConfig:
    """One run. `method`: latent or scratch; `steps`: environment steps; `target`: the object meant, empty: any.

    `timeout_fails`: the end of an episode without success counts as a return of 0 instead of being bootstrapped beyond;
    critics that see successful demonstrations alone are otherwise slow to believe that anything fails. `relabel`: every
    demonstration also counts as a failure to lift another of its objects.
    """

    method: str
    task: str
    target: str
    objects: str
    containers: str
    distractors: int
    arm: str
    image_size: int
    prior: str
    demos: str
    out: str
    steps: int
    demonstration_share: float
    timeout_fails: bool
    relabel: bool
    attention: bool
    checkpoint_every: int
    seed: int
    randomization: dict[str, Any] = field(default_factory=factors_at_rest)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    latent: LatentSacConfig = field(default_factory=LatentSacConfig)
    scratch: SacConfig = field(default_factory=SacConfig)

    def __post_init__(self) -> None:
        if self.method not in ("latent", "scratch"):
            raise unknown_name("method", self.method, ("latent", "scratch"))
        if self.steps < 1 or self.checkpoint_every < 1:
            raise ConfigError("steps and checkpoint_every must be at least 1")
        find_task(self.task)
        find_randomization(self.randomization)


def run(overrides: list[str]) -> None:
    """The verb."""
    train_rl(load_config("conure_training.conf", "rl", RlConfig, overrides))


def train_rl(config: RlConfig, on_episode: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Train; writes `policy.pt` and `curve.json` under `config.out`. Returns the policy's path."""
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    env = make_environment(config.task, config, config.target)
    try:
        loop = _latent_loop(config, env) if config.method == "latent" else _scratch_loop(config, env)
        loop.run(on_episode)
        loop.save()
        write_json(Path(config.out) / "curve.json", {"config": asdict(config), "episodes": loop.curve})
    finally:
        env.close()
    (Path(config.out) / "checkpoint.pt").unlink(missing_ok=True)
    return Path(config.out) / "policy.pt"


class _Loop:
    """Act, store, update; `observe` turns the environment's observation into what the learner stores."""

    def __init__(
        self,
        config: RlConfig,
        env: Any,
        learner: ActorCritic,
        replay: Replay | MixedReplay,
        observe: Callable[[dict[str, NDArray]], dict[str, Tensor]],
        save: Callable[[ActorCritic], None],
    ) -> None:
        self.config, self.env, self.learner, self.replay, self.observe = config, env, learner, replay, observe
        self.save = lambda: save(learner)
        self.curve: list[dict[str, Any]] = []
        self.steps = 0
        self.generator = torch.Generator().manual_seed(config.seed + 7)

    @property
    def online(self) -> Replay:
        """The learner's own episodes."""
        return self.replay.online if isinstance(self.replay, MixedReplay) else self.replay

    def run(self, on_episode: Callable[[dict[str, Any]], None] | None) -> None:
        """Until the budget of steps is spent."""
        self._resume()
        checkpoint_due = self.steps + self.config.checkpoint_every
        with progress_bar() as bar:
            task = bar.add_task(f"rl ({self.config.method})", total=self.config.steps, completed=self.steps, note="")
            while self.steps < self.config.steps:
                before = self.steps
                episode = self._episode()
                self._update(before)
                recent = [entry["success"] for entry in self.curve[-RECENT_EPISODES:]]
                bar.update(task, completed=min(self.steps, self.config.steps), note=f"success {np.mean(recent):.0%}")
                if on_episode:
                    on_episode(episode)
                if self.steps >= checkpoint_due:
                    self._checkpoint()
                    checkpoint_due = self.steps + self.config.checkpoint_every

    def _episode(self) -> dict[str, Any]:
        observation, info = self.env.reset(seed=EPISODE_SEEDS + 100_000 * self.config.seed + len(self.curve))
        seen, actions, rewards, done = [self.observe(observation)], [], [], False
        while not done:
            batch = {name: value[None] for name, value in seen[-1].items()}
            action = self.learner.act(batch, self.generator)[0].cpu()
            observation, reward, terminated, truncated, info = self.env.step(action.numpy().clip(-1, 1))
            seen.append(self.observe(observation))
            actions.append(action)
            rewards.append(float(reward))
            done = terminated or truncated
        stacked = {name: torch.stack([row[name] for row in seen]) for name in seen[0]}
        ended = terminated or self.config.timeout_fails
        self.replay.add(Episode(stacked, torch.stack(actions), torch.tensor(rewards), ended))
        self.steps += len(actions)
        entry = {"steps": self.steps, "success": info["is_success"], "any_lifted": info["any_lifted"]}
        self.curve.append(entry)
        return entry

    def _update(self, steps_before: int) -> None:
        learner = self.learner
        if learner.updates == 0:
            learner.fit_normalizers(self.replay)
            if isinstance(self.replay, MixedReplay):
                for _ in range(learner.config.critic_pretraining_updates):
                    source = self.replay.demonstrations
                    learner.update(source.sample(learner.config.batch_size, learner.generator), critic_only=True)
        metrics: dict[str, float] = {}
        for _ in range(learner.config.updates_due(steps_before, self.steps)):
            metrics = learner.update(self.replay.sample(learner.config.batch_size, learner.generator))
        self.curve[-1].update({name: round(value, 4) for name, value in metrics.items()})

    def _checkpoint(self) -> None:
        data = {
            "config": str(asdict(self.config)),
            "learner": self.learner.state_dict(),
            "replay": self.replay.state_dict(),
            "generator": self.generator.get_state(),
            "steps": self.steps,
            "curve": self.curve,
        }
        save_torch(Path(self.config.out) / "checkpoint.pt", data)

    def _resume(self) -> None:
        path = Path(self.config.out) / "checkpoint.pt"
        if not path.is_file():
            return
        try:
            data = torch.load(path, weights_only=True)
        except UNREADABLE as error:
            raise DataError(f"{path} is damaged ({str(error).splitlines()[0]}); remove it to start over") from error
        if data["config"] != str(asdict(self.config)):
            raise ConfigError(f"{path} belongs to a run with another configuration; choose another out= or remove it")
        self.learner.load_state_dict(data["learner"])
        self.replay.load_state_dict(data["replay"])
        self.generator.set_state(data["generator"])
        self.steps, self.curve = data["steps"], data["curve"]


def _latent_loop(config: RlConfig, env: Any) -> _Loop:
    prior = load_prior(Path(config.prior), env.contract)
    feature_dim, state_dim = prior.encoder.feature_dim, env.observation_space["state"].shape[0]
    slots = prior.size.slots if config.attention else 0
    learner = LatentSac(prior.flow, feature_dim, state_dim, prior.action_dim, config.latent, config.seed, slots=slots)
    fields = {"features": Field((feature_dim,)), "state": Field((state_dim,))}
    demonstrations = Replay(fields, prior.action_dim, replace(config.replay, capacity=200_000, n_step=WHOLE_EPISODE))
    data = load_demonstrations(Path(config.demos))
    relabel_seed = config.seed if config.relabel else None
    for episode in demonstrated(data, config.task, encoding_by(prior.encoder), relabel_seed):
        demonstrations.add(episode)
    replay = MixedReplay(Replay(fields, prior.action_dim, config.replay), demonstrations, config.demonstration_share)

    def observe(observation: dict[str, NDArray]) -> dict[str, Tensor]:
        return {"features": prior.features(observation)[0], "state": torch.from_numpy(observation["state"])}

    def save(trained: ActorCritic) -> None:
        agent = LatentAgent(prior, trained.averaged_policy)  # type: ignore[arg-type]
        save_latent_agent(Path(config.out) / "policy.pt", agent, {"config": str(asdict(config))})

    return _Loop(config, env, learner, replay, observe, save)


def _scratch_loop(config: RlConfig, env: Any) -> _Loop:
    shapes = {name: space.shape for name, space in env.observation_space.items()}
    action_dim = env.action_space.shape[0]
    learner = Sac(config.image_size, shapes["proprio"][0], shapes["state"][0], action_dim, config.scratch, config.seed)
    fields = {name: Field(shape, torch.uint8 if name == "image" else torch.float32) for name, shape in shapes.items()}

    def observe(observation: dict[str, NDArray]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(value) for name, value in observation.items()}

    def save(trained: ActorCritic) -> None:
        agent = ImageAgent(trained.averaged_policy, env.contract)  # type: ignore[arg-type]
        save_image_agent(Path(config.out) / "policy.pt", agent, config.scratch, {"config": str(asdict(config))})

    return _Loop(config, env, learner, Replay(fields, action_dim, config.replay), observe, save)
