"""What every learner is: networks that act and learn, resumable to the bit, with all its randomness
in one generator.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from conure_core.config.values import COUNT, POSITIVE, bounds
from conure_core.errors import DataError, SpecMismatch
from conure_training.nn.divergence import Diverged, lower, require_finite_weights
from conure_training.rl.config import MethodConfig
from conure_training.rl.replay import Batch, Source

Observation = Mapping[str, Tensor]
Metrics = dict[str, float]


@dataclass(frozen=True)
class UpdateConfig(MethodConfig):
    """Of networks and gradient steps."""

    hidden_width: int = field(default=256, metadata=COUNT)
    """Width of the hidden layers of policy and critics."""
    hidden_layers: int = field(default=2, metadata=COUNT)
    """How many there are."""
    batch_size: int = field(default=256, metadata=COUNT)
    """Transitions of an update."""
    learning_rate: float = field(default=3e-4, metadata=POSITIVE)
    """Adam's, for critics and policy."""
    max_gradient_norm: float = field(default=10.0, metadata=POSITIVE)
    """Longer gradients are shortened to it."""

    @property
    def hidden_dims(self) -> tuple[int, ...]:
        return (self.hidden_width,) * self.hidden_layers


@dataclass(frozen=True)
class OnlineConfig(UpdateConfig):
    """Of learners that learn while they act."""

    updates_per_step: float = field(default=0.5, metadata=bounds(0.0))
    """Updates for each environment step."""

    def updates_due(self, steps_before: int, steps_after: int) -> int:
        """Count the updates that go with a stretch of environment steps.

        Fractions carry over: stretches that join add up to the updates of the whole.

        Args:
            steps_before: Environment steps of the run before the stretch.
            steps_after: Environment steps of the run at its end.

        Returns:
            Updates to make, `updates_per_step` for each step.
        """
        updates_before = math.floor(steps_before * self.updates_per_step)
        updates_after = math.floor(steps_after * self.updates_per_step)
        return updates_after - updates_before


class PolyakAverage:
    """Polyak (EMA) average of a network's weights: slow <- slow + share * (fast - slow).

    The tensors of both networks are listed once: to walk the modules takes as long as the update.
    """

    def __init__(self, slow: nn.Module, fast: nn.Module) -> None:
        self._slow, self._fast = (
            cast(list[Tensor], list(network.parameters())) for network in (slow, fast)
        )
        self._buffers = list(zip(slow.buffers(), fast.buffers(), strict=True))

    @torch.no_grad()
    def update(self, share: float) -> None:
        """Move the average towards the network by this share; copy the buffers (input scales)."""
        torch._foreach_lerp_(self._slow, self._fast, share)
        for kept, present in self._buffers:
            kept.copy_(present)


class Learner:
    """Base of all learners. `generator` (CPU) is all its randomness; a child registers its networks
    in `_saved`, by the name of the attribute, and its optimizers in `_optimizers`.
    """

    policy: nn.Module
    """What acts."""

    averaged_policy: nn.Module
    """What a finished run hands out."""

    def __init__(
        self, config: UpdateConfig, action_dim: int, seed: int, device: str = "cpu"
    ) -> None:
        """Make a learner without networks.

        Args:
            config: Widths and rates.
            action_dim: Values of an action, A.
            seed: Of `generator`.
            device: Where networks and batches live.
        """
        self.config = config
        self.action_dim = action_dim
        self.device = torch.device(device)
        self.generator = torch.Generator().manual_seed(seed)
        self.updates = 0
        self._saved: list[str] = []
        self._optimizers: dict[str, torch.optim.Optimizer] = {}

    # What a learner defines.

    @property
    def offline_updates(self) -> int:
        """Updates before the first episode."""
        return 0

    def fit_normalizers(self, source: Source) -> None:
        """Take the networks' input scales from stored observations. Before the first update, or
        never.
        """
        raise NotImplementedError

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step on every network.

        Args:
            batch: B transitions, see Batch.

        Returns:
            Metrics by name.

        Raises:
            DataError: The batch or a gradient is not finite; no weight has taken it in.
        """
        raise NotImplementedError

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        """Actions (n, A) for standard normal noise (n, A); None: the policy's mean action."""
        raise NotImplementedError

    def _explore(
        self, observation: Observation, action: Tensor, generator: torch.Generator, exploring: bool
    ) -> Tensor:
        """The action (n, A), or what a method does instead of it now and then."""
        return action

    # What a loop calls.

    @torch.no_grad()
    def act(
        self,
        observation: Observation,
        generator: torch.Generator,
        deterministic: bool = False,
        noise_scale: float = 1.0,
        exploring: bool = True,
    ) -> Tensor:
        """Choose actions for a batch of observations.

        Args:
            observation: By name, (n, ...), on any device.
            generator: Where the noise is drawn from, on the CPU.
            deterministic: Take the mean action and draw no noise.
            noise_scale: Factor on the policy's own noise: 1 samples the policy, 0 takes its mean.
            exploring: Add whatever else the method explores by.

        Returns:
            Shape (n, A).

        Raises:
            DataError: An action is not finite.
        """
        noise = None
        if not deterministic:
            rows = len(next(iter(observation.values())))
            noise = noise_scale * self._noise(rows, generator)
        decided = self._decide(observation, noise)
        action = self._explore(observation, decided, generator, exploring)
        if not bool(torch.isfinite(action).all()):
            raise DataError(
                "the policy's action is not finite; check the observation"
                f" ({', '.join(observation)})"
            )
        return action

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the averaged policy acts."""
        present, self.policy = self.policy, self.averaged_policy
        try:
            yield
        finally:
            self.policy = present

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on, so that a resumed run repeats an
        uninterrupted one.
        """
        return {
            **{name: getattr(self, name).state_dict() for name in self._saved},
            "optimizers": {
                name: optimizer.state_dict() for name, optimizer in self._optimizers.items()
            },
            "updates": self.updates,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from `state`. Raises: SpecMismatch if it was written by a learner of another
        make.
        """
        state = deepcopy(dict(state))  # optimizers keep the tensors they are given
        try:
            self._load(state)
        except (KeyError, RuntimeError, ValueError) as error:
            first_line = str(error).splitlines()[0]
            raise SpecMismatch(
                f"the checkpoint does not fit this {type(self).__name__}: {first_line}"
            ) from error

    def _load(self, state: Mapping[str, Any]) -> None:
        for name in self._saved:
            getattr(self, name).load_state_dict(state[name])
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.updates = int(state["updates"])
        self.generator.set_state(state["generator"].cpu())

    def require_finite_weights(self) -> None:
        """Raises: Diverged if a network must not be written."""
        networks = {name: getattr(self, name) for name in self._saved}
        modules = {
            name: network for name, network in networks.items() if isinstance(network, nn.Module)
        }
        require_finite_weights(modules, self._remedy())

    def _remedy(self) -> str:
        return lower("method.learning_rate", self.config.learning_rate)

    # Parts of an update.

    def _regress_critics(self, q: Tensor, target: Tensor) -> Metrics:
        """Take one step of every critic towards the targets.

        Args:
            q: Of the stored actions, differentiable, shape (critics, B).
            target: Shape (B,).

        Returns:
            "critic_loss", a sum over the critics, "q", "target_q" and "critic_gradient_norm".
        """
        loss = (q - target).square().mean(dim=1).sum()
        norm = self._step("critics", loss)
        means = {"critic_loss": loss, "q": q.mean(), "target_q": target.mean()}
        return {name: value.item() for name, value in means.items()} | {
            "critic_gradient_norm": norm
        }

    def _weights(self, name: str) -> list[nn.Parameter]:
        """What this optimizer moves."""
        return cast(list[nn.Parameter], self._optimizers[name].param_groups[0]["params"])

    def _step(self, name: str, loss: Tensor) -> float:
        """One step of this optimizer, on its parameters alone; the norm of their gradient before it
        was limited.
        """
        parameters = [part for part in self._weights(name) if part.requires_grad]
        loss.backward(inputs=parameters)
        length = nn.utils.get_total_norm(
            [part.grad for part in parameters if part.grad is not None], foreach=True
        )
        norm = length.item()
        if math.isfinite(norm):
            if norm > self.config.max_gradient_norm:
                nn.utils.clip_grads_with_norm_(
                    parameters, self.config.max_gradient_norm, length, foreach=True
                )
            self._optimizers[name].step()
        self._optimizers[name].zero_grad()
        if not math.isfinite(norm):
            raise Diverged(
                f"update {self.updates}: the gradient of the {name} is {norm}; {self._remedy()}"
            )
        return norm

    def _check(self, batch: Batch) -> None:
        for name, value in batch.named_tensors().items():
            if value.is_floating_point() and not math.isfinite(
                value.abs().max()
            ):  # NaN is the largest of all
                raise DataError(
                    f"update {self.updates}: {name} in the batch is not finite; nothing was learned"
                    " from it"
                )

    def _noise(self, rows: int, generator: torch.Generator) -> Tensor:
        """Standard normal (rows, A), the same on every device."""
        return torch.randn(rows, self.action_dim, generator=generator).to(self.device)
