"""`method=visuomotor`: PPO on the sum of an imitation and a task reward, from pixels.

The policy sees what a robot sees, the value function the privileged state; a discriminator of
object features pays for imitation; an auxiliary head finds the objects in the image; episodes begin
in demonstrated states. Source: Zhu et al., Reinforcement and Imitation Learning for Diverse
Visuomotor Skills, arXiv 1802.09564. With actor=latent the policy chooses z of a behavioral prior,
which is ours.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_training.prior.model import Prior, load_prior
from conure_training.rl.adversarial.cloning import clone
from conure_training.rl.adversarial.demonstrations import StateView
from conure_training.rl.adversarial.discriminator import DiscriminatorLearner
from conure_training.rl.adversarial.reward import AdversarialReward, RewardRule
from conure_training.rl.config import RunConfig
from conure_training.rl.demo_resets.demonstration import Demonstration
from conure_training.rl.on_policy.environments import make_seen_environment, make_vector_environment
from conure_training.rl.on_policy.loop import OnPolicyLoop, OnPolicyMethod, open_on_policy_loop
from conure_training.rl.on_policy.networks import ActorCriticNetwork, NetworkSize, size_for
from conure_training.rl.on_policy.observations import join
from conure_training.rl.on_policy.trajectories import RewardModel, TaskReward, Trajectory
from conure_training.rl.visuomotor.aggregation import Aggregation
from conure_training.rl.visuomotor.config import VisuomotorConfig
from conure_training.rl.visuomotor.networks import LatentNetwork, LatentSize, PixelSize
from conure_training.rl.visuomotor.policy import save_policy
from conure_training.rl.visuomotor.resets import (
    DemonstrationStarts,
    load_task_demonstrations,
    make_curriculum,
    reset_rule,
)


def make_environment(run: RunConfig, config: VisuomotorConfig) -> Any:
    """Make the run's environment, whose observations are what policy and value function see.

    Args:
        run: The run.
        config: The method's settings.

    Returns:
        An environment with `save_state`, `restore_state` and `observe`.

    Raises:
        ConfigError: The task is a game, or a name is unknown.
    """
    config.require_table(run.task)
    return make_seen_environment(run) if config.uses_images else make_vector_environment(run)


def _load(env: Any, run: RunConfig, config: VisuomotorConfig) -> tuple[Demonstration, ...]:
    if not config.uses_demonstrations:
        return ()
    return load_task_demonstrations(env, Path(run.demos), run.task, config.trajectories)


def make_environments(run: RunConfig, config: VisuomotorConfig, count: int) -> list[Any]:
    """Make environments to learn in, with the same demonstrations for all.

    Args:
        run: The run.
        config: The method's settings.
        count: How many.

    Returns:
        The environments.
    """
    environments = [make_environment(run, config) for _ in range(count)]
    if not config.resets:
        return environments
    demonstrations = _load(environments[0], run, config)
    rule = reset_rule(config, demonstrations)
    return [DemonstrationStarts(env, demonstrations, rule, config.resets) for env in environments]


def build(run: RunConfig, config: VisuomotorConfig) -> OnPolicyMethod:
    """Build the method.

    Args:
        run: The run.
        config: The method's settings.

    Returns:
        The method, its policy untrained.

    Raises:
        ConfigError, DataError, SpecMismatch: Demonstrations or prior do not fit the run.
    """
    env = make_environment(run, config)
    demonstrations = _load(env, run, config)
    prior = None
    if config.actor == "latent":
        prior = load_prior(Path(run.prior), env.unwrapped.contract)
    rows = [item.observations for item in demonstrations]
    trajectories = [_as_trajectory(item) for item in demonstrations]
    return OnPolicyMethod(
        config=config,
        size=_size(env, config, prior),
        make=partial(make_environments, run, config),
        evaluation=env,
        curriculum=make_curriculum(config, demonstrations),
        reward=_make_reward(run, config, env, trajectories),
        first_rows=join(rows) if rows else None,
        pretrain=_make_pretraining(run, config, trajectories, env),
        pretraining_steps=config.aggregation.steps,
        prepare=partial(_use_prior, prior) if prior else None,
        save=save_policy,
    )


def _size(env: Any, config: VisuomotorConfig, prior: Prior | None) -> NetworkSize:
    if config.actor == "state":
        size = size_for(env, config.hidden_dims, config.memory)
        return replace(size, initial_std=config.initial_std)
    common: dict[str, Any] = {
        "hidden": config.hidden_dims,
        "memory": config.memory,
        "observation": env.observation_space["state"].shape[0],
        "actions": env.action_space.shape[0],
        "discrete": False,
        "privileged_value": config.privileged_value,
    }
    if prior is not None:
        contract = prior.contract.to_dict()
        return LatentSize(**common, prior=dict(prior.size.__dict__), contract=contract)
    return PixelSize(
        **common,
        initial_std=config.initial_std,
        image_px=env.observation_space["image"].shape[0],
        image_features=config.image_features,
        proprio=env.observation_space["proprio"].shape[0],
        objects=env.unwrapped.state_layout["objects"].start,
        auxiliary_weight=config.auxiliary_weight,
    )


def _use_prior(prior: Prior, network: ActorCriticNetwork) -> None:
    """Give the network the trained prior's weights."""
    if isinstance(network, LatentNetwork):
        network.prior.load_state_dict(prior.state_dict())


@dataclass(frozen=True)
class SeenStateView:
    """A view of the state where it is one of several arrays."""

    view: StateView

    def __call__(self, trajectory: Trajectory) -> NDArray[np.float32]:
        """See StateView."""
        return self.view(replace(trajectory, observation=trajectory.observation["state"]))


def _as_trajectory(demonstration: Demonstration) -> Trajectory:
    return Trajectory(
        observation=demonstration.observations,
        action=np.stack(demonstration.actions).astype(np.float32),
        reward=demonstration.rewards,
        terminated=True,
    )


def _make_pretraining(
    run: RunConfig, config: VisuomotorConfig, trajectories: Sequence[Trajectory], env: Any
) -> Callable[[ActorCriticNetwork], Any] | None:
    if not config.cloning.updates:
        return None
    cloning = partial(clone, demonstrations=trajectories, config=config.cloning, seed=run.seed)
    if not config.aggregation.steps:
        return cloning
    return Aggregation(config.aggregation, config.cloning, trajectories, env, run.seed)


def _make_reward(
    run: RunConfig, config: VisuomotorConfig, env: Any, trajectories: Sequence[Trajectory]
) -> RewardModel:
    if not config.gail_share:
        return TaskReward()
    state_view = StateView(env.unwrapped.state_layout)
    view: Callable[[Trajectory], NDArray[np.float32]] = state_view
    if config.uses_images:
        view = SeenStateView(state_view)
    features = view(trajectories[0]).shape[1]
    return AdversarialReward(
        DiscriminatorLearner(features, config.discriminator, run.seed),
        trajectories,
        view,
        RewardRule(config.gail_share, config.gamma),
    )


def open_loop(run: RunConfig) -> AbstractContextManager[OnPolicyLoop]:
    """The run's loop, see rl.train."""
    return open_on_policy_loop(run, build)
