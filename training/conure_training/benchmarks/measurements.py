"""The measurements of `conure bench training`; each function returns plain numbers."""

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
"""Calls in a row of each timing, by batch size: a single small call is as short as the clock's
noise.
"""


@dataclass(frozen=True)
class FlowSize:
    """Sizes of the measured flow, see ConditionalRealNVP."""

    action_dim: int
    """Values of an action, D."""

    context_dim: int
    """Values of the context, C."""

    couplings: int
    """Number of affine couplings."""

    hidden: tuple[int, ...]
    """Hidden widths of their MLPs."""

    def random(self) -> ConditionalRealNVP:
        """Build our flow with random last layers, which would start at zero, frozen."""
        torch.manual_seed(0)
        flow = ConditionalRealNVP(self.action_dim, self.context_dim, self.couplings, self.hidden)
        for layer in (flow.affine, *(coupling.last for coupling in flow.couplings)):
            nn.init.normal_(layer.weight, std=0.3 / layer.in_features**0.5)  # type: ignore[union-attr]
            nn.init.normal_(layer.bias, std=0.3)  # type: ignore[union-attr]
        return flow.requires_grad_(False)

    def inputs(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw actions and latents (batch, D), and contexts (batch, C)."""
        torch.manual_seed(1)
        action = 1.8 * torch.rand(batch, self.action_dim) - 0.9
        z = torch.randn(batch, self.action_dim)
        context = torch.randn(batch, self.context_dim)
        return action, z, context


@torch.no_grad()
def flow_times(size: FlowSize, batch: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Time log_prob and decode on one thread, without gradients.

    Args:
        size: Of both flows.
        batch: Rows in a call.
        repeats: Timings that the median is of.

    Returns:
        Seconds a call of our flow and of zuko's, by method.
    """
    ours = size.random()
    baseline = zuko_flow(size.action_dim, size.context_dim, size.couplings, size.hidden)
    action, z, context = size.inputs(batch)
    calls = CALLS.get(batch, 1)
    with one_thread():
        return {
            "log_prob": alternate(
                lambda: ours.log_prob(action, context),
                lambda: baseline(context).log_prob(action),
                repeats,
                calls,
            ),
            "decode": alternate(
                lambda: ours.decode(z, context),
                lambda: baseline(context).transform.inv(z),
                repeats,
                calls,
            ),
        }


@torch.no_grad()
def log_prob_error(size: FlowSize, dtype: torch.dtype, batch: int) -> float:
    """Compare our log-probabilities with those of zuko's transforms with the same weights.

    Args:
        size: Of the flow.
        dtype: That both compute in.
        batch: Rows compared.

    Returns:
        The largest difference, nats.
    """
    flow = size.random().to(dtype)
    action, _, context = (part.to(dtype) for part in size.inputs(batch))
    found = zuko_twin(flow, context).log_prob(action)
    return float((flow.log_prob(action, context) - found).abs().max())


def runtime_decode_s(size: FlowSize, calls: int, folder: Path) -> NDArray[np.float64]:
    """Time single decodes by ONNX Runtime on one thread that does not wait actively.

    Args:
        size: Of the flow.
        calls: Decodes of batch 1.
        folder: For the ONNX file.

    Returns:
        Seconds, shape (calls,).
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
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
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
    """Prepare training steps of the authors' prior, with Adam at 1e-4 as they have it.

    Args:
        image_size: Height and width of the images, px.
        batch: Random images in a step.

    Returns:
        A function that takes one optimizer step.
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
    """Time updates of latent SAC on features and of stable-baselines3's SAC, on one thread.

    Args:
        size: Of the flow; observations of both learners have `context_dim` values.
        batch: Transitions in an update.
        rows: Transitions in each replay buffer.
        repeats: Timings that the median is of.
        mixed: Whether half the batch are demonstrations, as in `conure rl`, and the actor learns
            from the other half; without, it learns from the whole batch.
        in_z: Whether critics take latents, as the paper and `method=latent_inverted` have them, so
            that no gradient passes through the flow.

    Returns:
        Seconds an update, sampling included, of ours and of theirs.
    """
    fields = {"features": Field((size.context_dim,)), "state": Field((size.context_dim,))}
    capacity = ReplayConfig(rows + EPISODE_STEPS)
    online = _fill(Replay(fields, size.action_dim, capacity), rows)
    demonstrations = _fill(Replay(fields, size.action_dim, capacity), rows)
    replay = MixedReplay(online, demonstrations) if mixed else online
    config = LatentConfig(
        hidden_width=size.hidden[0], hidden_layers=len(size.hidden), batch_size=batch
    )
    prior = IdentityFlow() if in_z else size.random()
    learner = LatentSac(prior, size.context_dim, size.context_dim, size.action_dim, config)
    baseline = stable_baselines_sac(rows, size.context_dim, size.action_dim, size.hidden, batch)
    with one_thread():
        return alternate(
            lambda: learner.update(replay.sample(batch, learner.generator)),
            lambda: baseline.train(1, batch),
            repeats,
        )


def _fill(replay: Replay, rows: int) -> Replay:
    """Add random episodes, up to about so many transitions."""
    torch.manual_seed(2)
    shapes = {name: replay.rows(name).shape[1:] for name in ("features", "state")}
    action_dim = replay.state_dict()["columns"]["action"].shape[1]
    while len(replay) + EPISODE_STEPS < rows:
        seen = {name: torch.randn(EPISODE_STEPS + 1, *shape) for name, shape in shapes.items()}
        action = 2.0 * torch.rand(EPISODE_STEPS, action_dim) - 1.0
        replay.add(Episode(seen, action, torch.zeros(EPISODE_STEPS), terminated=True))
    return replay
