"""Whole episodes of the present policy, in blocks of environments that step together.

What a block collects depends on the weights and on the block alone, never on the worker that does
it, nor on what that worker did before: a block whose worker died is done again elsewhere, and gives
the same episodes. So no episode is lost, and none counts twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_training.rl.on_policy.networks import ActorCriticNetwork, NetworkSize
from conure_training.rl.on_policy.observations import Rows, as_arrays, as_tensors, stack, take
from conure_training.rl.on_policy.trajectories import Trajectory

MakeEnvironments = Callable[[int], list[Any]]
"""Makes so many environments; importable and picklable."""


@dataclass(frozen=True)
class Block:
    """Episodes of some environments."""

    seed: tuple[int, ...]
    """Decides everything random: the run's seed, the update, the block's number."""
    environments: int = field(compare=False)
    """That step together."""
    steps: int = field(compare=False)
    """Each environment begins episodes until it has done so many; the last one is finished."""


@dataclass(frozen=True)
class CollectBlock:
    """Work on a block, by the policy of one update."""

    run: str
    """Names the run, whose environments a worker keeps."""
    make: MakeEnvironments
    """How environments are made where a worker has none yet."""
    size: NetworkSize
    """Of the policy's network."""
    weights: Mapping[str, Any]
    """The network's state."""
    options: dict[str, Any]
    """Given to every reset."""

    def __call__(self, block: Block) -> list[Trajectory]:
        """Collect the block's episodes, in the order of environments and time."""
        network = self.size.make()
        network.load_state_dict(self.weights)
        key = (self.run, block.environments)
        if key not in _kept:
            _kept[key] = self.make(block.environments)
        return collect(_kept[key], network, block, self.options)


_kept: dict[tuple[str, int], list[Any]] = {}
"""The environments of this process, made at their first use."""


def close_environments() -> None:
    """Close what this process keeps."""
    for environments in _kept.values():
        for env in environments:
            env.close()
    _kept.clear()


@torch.no_grad()
def collect(
    environments: list[Any],
    network: ActorCriticNetwork,
    block: Block,
    options: dict[str, Any],
) -> list[Trajectory]:
    """Collect whole episodes in environments that step together.

    Args:
        environments: One for each of the block's.
        network: The policy.
        block: How much, and the seed.
        options: Given to every reset.

    Returns:
        The episodes, in the order of environments and time.
    """
    generator = torch.Generator().manual_seed(_torch_seed(block.seed))
    slots = [
        _Slot(env, np.random.default_rng((*block.seed, index)), options)
        for index, env in enumerate(environments)
    ]
    memory = network.begin(len(slots))
    for slot in slots:
        slot.begin()
    active = list(range(len(slots)))
    while active:
        seen = as_tensors(stack([slots[index].observation for index in active]))
        observation = network.perceive(seen)
        action, after = network.act(observation, memory[active], generator)
        command = network.command(observation, action).numpy()
        memory[active] = after
        for row, index in enumerate(active):
            slot = slots[index]
            slot.keep(take(observation, row), action[row])
            if slot.step(command[row]):
                slot.finish(network)
                memory[index] = 0.0
                if slot.steps < block.steps:
                    slot.begin()
        active = [index for index in active if slots[index].running]
    return [trajectory for slot in slots for trajectory in slot.finished]


class _Slot:
    """One environment, its present episode, and those that it finished."""

    def __init__(self, env: Any, rng: np.random.Generator, options: dict[str, Any]) -> None:
        self.env = env
        self.rng = rng
        self.options = options
        self.finished: list[Trajectory] = []
        self.steps = 0
        self.running = False

    def begin(self) -> None:
        seed = int(self.rng.integers(2**31))
        self.observation, _ = self.env.reset(seed=seed, options=self.options)
        self.seen: list[Rows] = []
        self.actions: list[NDArray[Any]] = []
        self.rewards: list[float] = []
        self.burn_in = 0
        self.running = True

    def keep(self, observation: Rows, action: Tensor) -> None:
        """Remember what the policy perceived, and what it chose."""
        self.seen.append(as_arrays(observation))
        self.actions.append(action.numpy())

    def step(self, command: NDArray[Any]) -> bool:
        """Act; whether the episode is over."""
        given = int(command) if command.ndim == 0 else command
        self.observation, reward, terminated, truncated, self.info = self.env.step(given)
        self.burn_in += bool(self.info.get("burn_in", False))
        self.rewards.append(float(reward))
        self.terminated = bool(terminated)
        return self.terminated or bool(truncated)

    def finish(self, network: ActorCriticNetwork) -> None:
        """Make a trajectory of the episode."""
        last = network.perceive(as_tensors(stack([self.observation])))
        self.seen.append(as_arrays(take(last, 0)))
        trajectory = Trajectory(
            observation=stack(self.seen),
            action=np.stack(self.actions),
            reward=np.array(self.rewards, np.float32),
            terminated=self.terminated,
            burn_in=self.burn_in,
            info={name: self.info[name] for name in KEPT if name in self.info},
        )
        self.finished.append(trajectory)
        self.steps += len(trajectory)
        self.running = False


KEPT = ("is_success", "start", "score", "forward_seed")
"""What a trajectory keeps of the last step's info."""


def _torch_seed(seed: tuple[int, ...]) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1)[0])
