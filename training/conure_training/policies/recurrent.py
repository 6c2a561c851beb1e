"""Policies that remember earlier ticks: observation and memory to action and memory."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.contract.spec import Contract
from conure_training.nn.float64 import in_float64
from conure_training.policies.policy import Observation, as_batch
from conure_training.prior.flow import ConditionalRealNVP


class GruStep(nn.Module):
    """One step of a GRU as products and sums, for ONNX Runtime's own GRU is float32 only.

    n = tanh(W_n x + b_n + r (U_n h + c_n)), h' = (1 - u) n + u h, with reset r and update u.
    """

    def __init__(self, gru: nn.GRU) -> None:
        """Take the weights of a GRU of one layer."""
        super().__init__()
        self.of_input = nn.Linear(gru.input_size, 3 * gru.hidden_size)
        self.of_memory = nn.Linear(gru.hidden_size, 3 * gru.hidden_size)
        weights = gru.state_dict()
        for part, name in ((self.of_input, "ih"), (self.of_memory, "hh")):
            kept = {kind: weights[f"{kind}_{name}_l0"] for kind in ("weight", "bias")}
            part.load_state_dict(kept)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Give the next memory, (B, M).

        Args:
            x: Shape (B, E).
            memory: Shape (B, M).
        """
        reset_x, update_x, new_x = self.of_input(x).chunk(3, dim=-1)
        reset_h, update_h, new_h = self.of_memory(memory).chunk(3, dim=-1)
        reset = torch.sigmoid(reset_x + reset_h)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + reset * new_h)
        return (1.0 - update) * new + update * memory


class RecurrentGraph(nn.Module):
    """Base class of graphs that may have a memory, in float64 with float32 inputs and outputs.

    A child says what it perceives and what it makes of the memory. With a prior it has `encoder`
    and `flow`, as a PolicyGraph has.
    """

    has_prior = False
    encoder: nn.Module
    flow: ConditionalRealNVP

    def __init__(self, gru: nn.GRU | None, action_dim: int) -> None:
        """Copy the memory.

        Args:
            gru: Of one layer; None: no memory, M = 0.
            action_dim: Values of an action, A.
        """
        super().__init__()
        self.step = None if gru is None else in_float64(GruStep(gru))
        self.memory_size = 0 if gru is None else gru.hidden_size
        self.action_dim = action_dim

    def perceive(self, image: Tensor, proprio: Tensor) -> tuple[Tensor, Tensor]:
        """Give what the memory sees, (B, E), and what `decide` needs beside the memory, (B, F)."""
        raise NotImplementedError

    def decide(self, memory: Tensor, seen: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Give the actions, (B, A), not clipped, and with a prior z (B, A) and the log-likelihood
        (B,).

        Args:
            memory: After this tick, (B, M); without one what `perceive` gave for it.
            seen: From `perceive`, (B, F).
            noise: Shape (B, A).
        """
        raise NotImplementedError

    def forward(
        self, image: Tensor, proprio: Tensor, noise: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Decide.

        Args:
            image: Shape (B, H, W, 3), uint8.
            proprio: Shape (B, P), float32.
            noise: Shape (B, A), float32: standard normal to sample, zeros for the mean.
            memory: Shape (B, M), float32: zeros at an episode's start; None without a memory.

        Returns:
            Actions in [-1, 1], shape (B, A); with a prior z, (B, A), and the log-likelihood, (B,),
            nats; with a memory the next one, (B, M); all float32.
        """
        encoded, seen = self.perceive(image, proprio.double())
        remembered: tuple[Tensor, ...] = ()
        if self.step is not None and memory is not None:
            encoded = self.step(encoded, memory.double())
            remembered = (encoded,)
        action, *judged = self.decide(encoded, seen, noise.double())
        outputs = (action.clamp(-1.0, 1.0), *judged, *remembered)
        return tuple(output.float() for output in outputs)


class RecurrentPolicy:
    """A policy that acts by the very graph that is exported."""

    def __init__(self, graph: RecurrentGraph, contract: Contract) -> None:
        """Begin an episode.

        Args:
            graph: Decides.
            contract: Of the robot that it was trained for.
        """
        self.graph = graph
        self.contract = contract
        self.begin()

    @property
    def noise_dim(self) -> int:
        """As many values as an action has."""
        return self.graph.action_dim

    def begin(self) -> None:
        """Start an episode: the memory is empty."""
        size = self.graph.memory_size
        self._memory = torch.zeros(1, size) if size else None

    @torch.inference_mode()
    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Choose an action.

        Args:
            observation: One of the environment.
            noise: Shape (noise_dim,), see `Policy.act`.

        Returns:
            Shape (7,), in [-1, 1].
        """
        image, proprio = as_batch(observation)
        outputs = self.graph(image, proprio, torch.from_numpy(noise)[None], self._memory)
        if self._memory is not None:
            self._memory = outputs[-1]
        return np.asarray(outputs[0][0].numpy())
