"""What `conure bench training` measures; each function gives plain figures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_training.benchmarks.baselines import (
    AuthorsPrior,
    stable_baselines_sac,
    zuko_flow,
    zuko_twin,
)
from conure_training.benchmarks.timing import alternate, each_call_s, one_thread
from conure_training.export.onnx_graphs import float64_operators, quiet
from conure_training.prior.flow import ConditionalRealNVP
from conure_training.rl.methods.latent import LatentConfig, LatentSac
from conure_training.rl.methods.latent_inverted import IdentityFlow
from conure_training.rl.replay import Episode, Field, MixedReplay, Replay, ReplayConfig

EPISODE_STEPS = 50
CALLS = {1: 10}
"""Calls in a row of each timing, by batch: single calls of small ones are as short as the clock's
noise.
"""


@dataclass(frozen=True)
class FlowSize:
    """Sizes of the measured flow."""

    action_dim: int
    context_dim: int
    couplings: int
    hidden: tuple[int, ...]

    def random(self) -> ConditionalRealNVP:
        """Our flow, every layer of it far from the zeros that it starts with, frozen."""
        torch.manual_seed(0)
        flow = ConditionalRealNVP(self.action_dim, self.context_dim, self.couplings, self.hidden)
        for layer in (flow.affine, *(coupling.last for coupling in flow.couplings)):
            nn.init.normal_(layer.weight, std=0.3 / layer.in_features**0.5)  # type: ignore[union-attr]
            nn.init.normal_(layer.bias, std=0.3)  # type: ignore[union-attr]
        return flow.requires_grad_(False)

    def inputs(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Actions and latents (batch, D), contexts (batch, C)."""
        torch.manual_seed(1)
        action = 1.8 * torch.rand(batch, self.action_dim) - 0.9
        return action, torch.randn(batch, self.action_dim), torch.randn(batch, self.context_dim)


@torch.no_grad()
def flow_times(size: FlowSize, batch: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Seconds a call, ours and zuko's, of log_prob and of decode; one thread, no gradients."""
    ours, peer = (
        size.random(),
        zuko_flow(size.action_dim, size.context_dim, size.couplings, size.hidden),
    )
    action, z, context = size.inputs(batch)
    calls = CALLS.get(batch, 1)
    with one_thread():
        return {
            "log_prob": alternate(
                lambda: ours.log_prob(action, context),
                lambda: peer(context).log_prob(action),
                repeats,
                calls,
            ),
            "decode": alternate(
                lambda: ours.decode(z, context),
                lambda: peer(context).transform.inv(z),
                repeats,
                calls,
            ),
        }


@torch.no_grad()
def log_prob_error(size: FlowSize, dtype: torch.dtype, batch: int) -> float:
    """Largest difference of our log-probabilities to those of zuko's transforms with the same
    weights, nats.
    """
    flow = size.random().to(dtype)
    action, _, context = (part.to(dtype) for part in size.inputs(batch))
    found = zuko_twin(flow, context).log_prob(action)
    return float((flow.log_prob(action, context) - found).abs().max())


def runtime_decode_s(size: FlowSize, calls: int, folder: Path) -> NDArray[np.float64]:
    """Seconds of single decodes, batch 1, by ONNX Runtime on one thread that does not wait
    actively, (calls,).
    """
    file = folder / "decode.onnx"
    _, z, context = size.inputs(1)
    with quiet():
        torch.onnx.export(
            _Decode(size.random()).eval(),
            (z, context),
            str(file),
            input_names=["z", "context"],
            dynamo=True,
            custom_translation_table=float64_operators(),
            external_data=False,
            verbose=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    fed = {"z": z.numpy(), "context": context.numpy()}
    return each_call_s(lambda: session.run(None, fed), calls)


class _Decode(nn.Module):
    def __init__(self, flow: ConditionalRealNVP) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        return self.flow.decode(z, context)


def authors_step(image_size: int, batch: int) -> Callable[[], None]:
    """One optimizer step of the authors' prior on `batch` random images, Adam at 1e-4 as they have
    it.
    """
    torch.manual_seed(0)
    prior = AuthorsPrior(image_size)
    optimizer = torch.optim.Adam(prior.parameters(), 1e-4)
    image = torch.randint(0, 256, (batch, image_size, image_size, 3), dtype=torch.uint8)
    action = 1.8 * torch.rand(batch, 8) - 0.9

    def step() -> None:
        loss = -prior.log_prob(image, action).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def sac_times(
    size: FlowSize, batch: int, rows: int, repeats: int, mixed: bool, in_z: bool = False
) -> tuple[float, float]:
    """Seconds an update, sampling included, of latent SAC on features and of stable-baselines3's
    SAC; one thread.

    Observations of both are `context_dim` long. `mixed`: half the batch are demonstrations, as in
    `conure rl`, and the actor learns from the other half; without, it learns from the whole batch.
    `in_z`: critics of latents, as the paper and `method=latent_inverted` have them, so that no
    gradient passes through the flow.
    """
    fields = {"features": Field((size.context_dim,)), "state": Field((size.context_dim,))}
    capacity = ReplayConfig(rows + EPISODE_STEPS)
    online, demonstrations = (
        _filled(Replay(fields, size.action_dim, capacity), rows) for _ in range(2)
    )
    replay = MixedReplay(online, demonstrations) if mixed else online
    config = LatentConfig(
        hidden_width=size.hidden[0], hidden_layers=len(size.hidden), batch_size=batch
    )
    prior = IdentityFlow() if in_z else size.random()
    learner = LatentSac(prior, size.context_dim, size.context_dim, size.action_dim, config)
    peer = stable_baselines_sac(rows, size.context_dim, size.action_dim, size.hidden, batch)
    with one_thread():
        return alternate(
            lambda: learner.update(replay.sample(batch, learner.generator)),
            lambda: peer.train(1, batch),
            repeats,
        )


def _filled(replay: Replay, rows: int) -> Replay:
    """With at least so many transitions of random episodes."""
    torch.manual_seed(2)
    shapes = {name: replay.rows(name).shape[1:] for name in ("features", "state")}
    action_dim = replay.state_dict()["columns"]["action"].shape[1]
    while len(replay) + EPISODE_STEPS < rows:
        seen = {name: torch.randn(EPISODE_STEPS + 1, *shape) for name, shape in shapes.items()}
        action = 2.0 * torch.rand(EPISODE_STEPS, action_dim) - 1.0
        replay.add(Episode(seen, action, torch.zeros(EPISODE_STEPS), terminated=True))
    return replay
