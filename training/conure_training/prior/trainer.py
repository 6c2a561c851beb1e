"""The three phases that train a prior.

An interrupted run resumes from its checkpoint; on as many cores the result is the same to the bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.errors import DataError
from conure_sim.vision.camera import Camera
from conure_training.nn.divergence import (
    diverging,
    lower,
    require_finite,
    require_finite_weights,
)
from conure_training.prior.augmentation import PlaneShift, shift_images
from conure_training.prior.encoder import detection_loss
from conure_training.prior.feature_cache import batch_encoder
from conure_training.prior.flow import flow_loss
from conure_training.prior.model import Prior
from conure_training.prior.training_images import Frames
from conure_training.runtime.cpu_threads import FreeCores
from conure_training.runtime.out_of_memory import blame_setting
from conure_training.runtime.parallel import progress_bar
from conure_training.runtime.torch_files import START_OVER, load_checkpoint, readable, save_torch

AUXILIARY_WEIGHT = 1.0
CHECKPOINT = "checkpoint.pt"
MEASURED_FRAMES = 2000


class TrainerSettings(Protocol):
    """The settings that the trainer reads, see PriorConfig."""

    @property
    def out(self) -> str: ...
    @property
    def encoder_steps(self) -> int: ...
    @property
    def joint_steps(self) -> int: ...
    @property
    def flow_steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def flow_batch_size(self) -> int: ...
    @property
    def encoder_rate(self) -> float: ...
    @property
    def flow_rate(self) -> float: ...
    @property
    def feature_noise(self) -> float: ...
    @property
    def labelled_demonstrations(self) -> bool: ...
    @property
    def shift_px(self) -> int: ...
    @property
    def checkpoint_every(self) -> int: ...
    @property
    def finetune(self) -> str: ...


@dataclass(frozen=True)
class Phase:
    """One of the three phases."""

    label: str
    """Name on its progress bar and of its metric."""

    steps: int
    """Optimizer steps."""

    rate: float
    """Highest learning rate of the one-cycle schedule."""

    parameters: list[nn.Parameter]
    """The weights that it trains."""

    loss: Callable[[], Tensor]
    """Draws a batch and computes its loss; called once a step."""

    batch_key: str
    """Setting of the batch size, for the message when memory runs out."""

    rate_key: str
    """Setting of the learning rate, for the message when training diverges."""


class PriorTrainer:
    """Maximum likelihood of demonstrated actions, with an auxiliary task for the encoder.

    L_aux is the loss of detecting objects, see `detection_loss`.

        1. encoder             min L_aux              static scenes and demonstration frames
        2. encoder and flow    min L_aux - log p(a | image, proprio)
        3. flow                min -log p(a | features + noise)     features of the frozen encoder,
           computed once

    Without any label the loss of the first two is -log p; recordings have none, and take part in
    log p alone. Held-out episodes are never trained on.
    """

    def __init__(
        self,
        config: TrainerSettings,
        prior: Prior,
        frames: Frames,
        scenes: Frames | None,
        held_out: NDArray[np.bool_],
        whole: NDArray[np.bool_],
        labelled: NDArray[np.bool_],
        camera: Camera,
        identity: str,
        taught: NDArray[np.bool_] | None = None,
    ):
        """Prepare training.

        Args:
            config: The settings.
            prior: The prior to train, on the device to train on.
            frames: n steps of demonstrations.
            scenes: Labelled static scenes; None: there are none.
            held_out: Steps never to train on, shape (n,), see `held_out_steps`.
            whole: Steps with a fully demonstrated chunk, shape (n,), see
                `frames_of_demonstrations`.
            labelled: Steps whose objects' positions are known, shape (n,).
            camera: As calibrated.
            identity: Of the run; a checkpoint with a different one is refused.
            taught: Steps whose actions are imitated, shape (n,), see `taught_steps`; None: all.

        Raises:
            DataError: No held-out episode is as long as a chunk.
        """
        self.config = config
        self.prior = prior
        self.frames = frames
        self.scenes = scenes
        self.identity = identity
        imitated = np.ones_like(held_out) if taught is None else taught
        self.train_index = torch.from_numpy(np.flatnonzero(~held_out & imitated))
        self.held_index = torch.from_numpy(np.flatnonzero(held_out & whole & imitated))
        self.labelled_index = torch.from_numpy(np.flatnonzero(~held_out & labelled))
        self.measured_index = torch.from_numpy(np.flatnonzero(held_out & whole & labelled))
        if len(self.held_index) == 0:
            raise DataError(
                f"no held-out episode is as long as size.chunk={prior.size.chunk}; ask for a"
                " shorter chunk"
            )
        labelled_scenes = 0.0 if scenes is None else float(len(scenes))
        self.metrics: dict[str, float] = {"labelled_scenes": labelled_scenes}
        self.device = next(prior.parameters()).device
        self.features = torch.empty(0)
        self.plane_shift = PlaneShift.of(camera)
        self.cores = FreeCores()
        if not config.finetune:
            prior.encoder.set_normalization(frames.proprio[self.train_index].to(self.device))

    def run(self) -> None:
        """Train, from the checkpoint if there is one; fill `metrics` and all frames' `features`."""
        with self.cores:
            saved = self._load_checkpoint()
            self._fit(0, self._encoder_phase(), saved)
            self._fit(1, self._joint_phase(), saved)
            if saved is None or saved["phase"] < 2:
                self._measure_positions()

            encode = batch_encoder(self.prior.encoder)
            self.features = encode(self.frames.image, self.frames.proprio)
            features = self.features[self.train_index]
            actions = self.frames.action[self.train_index].to(self.device)
            self._fit(2, self._flow_phase(features, actions), saved)
            self._measure_likelihood(features, actions)

    def _encoder_phase(self) -> Phase:
        parameters = list(self.prior.encoder.parameters())
        loss = self._auxiliary_loss
        if not self._labelled:
            parameters += self.prior.flow.parameters()
            loss = self._likelihood_loss
        return Phase(
            "encoder",
            self.config.encoder_steps,
            self.config.encoder_rate,
            parameters,
            loss,
            "batch_size",
            "encoder_rate",
        )

    def _joint_phase(self) -> Phase:
        return Phase(
            "encoder and flow",
            self.config.joint_steps,
            self.config.encoder_rate / 4,
            [*self.prior.encoder.parameters(), *self.prior.flow.parameters()],
            self._joint_loss,
            "batch_size",
            "encoder_rate",
        )

    def _flow_phase(self, features: Tensor, actions: Tensor) -> Phase:
        config = self.config
        flow = self.prior.flow

        def loss() -> Tensor:
            batch = torch.randint(len(features), (config.flow_batch_size,))
            return flow_loss(flow, features[batch], actions[batch], config.feature_noise)

        parameters = list(flow.parameters())
        return Phase(
            "flow",
            config.flow_steps,
            config.flow_rate,
            parameters,
            loss,
            "flow_batch_size",
            "flow_rate",
        )

    @property
    def _labelled(self) -> bool:
        return self.scenes is not None or self._uses_demonstrated_labels

    @property
    def _uses_demonstrated_labels(self) -> bool:
        return self.config.labelled_demonstrations and len(self.labelled_index) > 0

    def _fit(self, number: int, phase: Phase, saved: dict[str, Any] | None) -> None:
        if phase.steps == 0 or (saved is not None and saved["phase"] > number):
            return
        optimizer = torch.optim.AdamW(
            phase.parameters, lr=phase.rate, weight_decay=1e-4, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, phase.rate, phase.steps, pct_start=0.15
        )
        first = 0
        if saved is not None and saved["phase"] == number:
            first = saved["step"]
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
            _set_random_state(saved["random"])

        loss = torch.zeros(())
        index = first
        batch_size = getattr(self.config, phase.batch_key)
        checkpoint = Path(self.config.out) / CHECKPOINT
        remedy = self._remedy(phase.rate_key)
        with (
            progress_bar() as bar,
            blame_setting(phase.batch_key, batch_size),
            diverging(lambda: index, checkpoint),
        ):
            task = bar.add_task(phase.label, total=phase.steps, completed=first, note="")
            for index in range(first, phase.steps):
                if index > first and index % self.config.checkpoint_every == 0:
                    require_finite_weights({phase.label: self.prior}, remedy)
                    self._write_checkpoint(number, index, optimizer, schedule)
                loss = phase.loss()
                require_finite(loss, f"the loss of the {phase.label}", remedy)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_(phase.parameters, 10.0)
                require_finite(norm, f"the gradient of the {phase.label}", remedy)
                optimizer.step()
                schedule.step()
                if index % 50 == 0:
                    bar.update(task, note=f"loss {loss.item():.2f}")
                bar.advance(task)
                self.cores.look()
            require_finite_weights({phase.label: self.prior}, remedy)
        self.metrics[f"{phase.label} loss"] = loss.item()

    def _remedy(self, rate_key: str) -> str:
        return lower(rate_key, getattr(self.config, rate_key))

    def _write_checkpoint(self, number: int, step: int, optimizer: Any, schedule: Any) -> None:
        data = {
            "identity": self.identity,
            "phase": number,
            "step": step,
            "prior": self.prior.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "metrics": self.metrics,
            "random": _random_state(),
        }
        save_torch(Path(self.config.out) / CHECKPOINT, data)

    def _load_checkpoint(self) -> dict[str, Any] | None:
        """Load an interrupted run's checkpoint, and take over its weights and metrics.

        Raises: DataError if it is damaged; ConfigError if it is of another run.
        """
        path = Path(self.config.out) / CHECKPOINT
        data = load_checkpoint(path, self.identity)
        if data is not None:
            with readable(path, START_OVER):
                self.prior.load_state_dict(data["prior"])
                self.metrics = dict(data["metrics"])
        return data

    def _demonstration_batch(self, size: int) -> Frames:
        return self._draw(self.train_index, size)

    def _draw(self, index: Tensor, size: int) -> Frames:
        drawn = torch.randint(len(index), (size,))
        return self.frames.at(index[drawn], self.device)

    def _auxiliary_batch(self) -> Frames:
        size = self.config.batch_size
        if self.scenes is None:
            return self._draw(self.labelled_index, size)
        demonstrated = size // 4 if self._uses_demonstrated_labels else 0
        drawn = torch.randint(len(self.scenes), (size - demonstrated,))
        batch = self.scenes.at(drawn, self.device)
        if demonstrated == 0:
            return batch
        return Frames.concatenate([batch, self._draw(self.labelled_index, demonstrated)])

    def _auxiliary_loss(self) -> Tensor:
        batch = self._auxiliary_batch()
        if self.config.shift_px:
            batch = self._shift(batch)
        encoder = self.prior.encoder
        found = encoder.detect(batch.image, batch.proprio)
        labels = (batch.positions, batch.colours, batch.container, batch.pixels)
        return detection_loss(encoder, found, *labels)

    def _shift(self, batch: Frames) -> Frames:
        """Move every image at random, and its labels along: pixels, and the points seen there."""
        most = self.config.shift_px
        offset = torch.randint(-most, most + 1, (len(batch), 2)).to(self.device)
        after = batch.pixels + offset[:, None]
        points = torch.cat([batch.positions, batch.container[:, None]], dim=1)
        points = self.plane_shift(points, batch.pixels, after)
        return replace(
            batch,
            image=shift_images(batch.image, offset),
            pixels=after,
            positions=points[:, :-1],
            container=points[:, -1],
        )

    def _likelihood_loss(self) -> Tensor:
        batch = self._demonstration_batch(self.config.batch_size)
        features = self.prior.encoder(batch.image, batch.proprio)
        return -self.prior.flow.log_prob(batch.action, features).mean()

    def _joint_loss(self) -> Tensor:
        # Images of the likelihood are never shifted: the image must agree with the proprioception.
        likelihood = self._likelihood_loss()
        if not self._labelled:
            return likelihood
        return AUXILIARY_WEIGHT * self._auxiliary_loss() + likelihood

    @torch.no_grad()
    def _measure_likelihood(self, features: Tensor, actions: Tensor) -> None:
        flow = self.prior.flow
        held_actions = self.frames.action[self.held_index].to(self.device)
        held = flow.log_prob(held_actions, self.features[self.held_index])
        trained = flow.log_prob(actions[:5000], features[:5000])
        require_finite(held, "the log-likelihood of held-out actions", self._remedy("flow_rate"))
        self.metrics["held_out_log_likelihood"] = held.mean().item()
        self.metrics["train_log_likelihood"] = trained.mean().item()
        for percent in (1, 5, 50):
            quantile = held.quantile(percent / 100).item()
            self.metrics[f"held_out_log_likelihood_p{percent:02d}"] = quantile

    @torch.no_grad()
    def _measure_positions(self) -> None:
        """Measure how well objects and containers of held-out demonstrations are found.

        Metrics: the share within 3 cm, and these ones' median error, mm.
        """
        measured = self.measured_index
        if len(measured) == 0:
            return
        every = max(1, len(measured) // MEASURED_FRAMES)
        batch = self.frames.at(measured[::every], self.device)
        encoder = self.prior.encoder
        found = encoder.detect(batch.image, batch.proprio)

        presence, position, _ = encoder.best_cells(found)
        error = (position[:, :, None] - batch.positions[:, None]).norm(dim=-1)
        error = torch.where(presence > 0.5, error, torch.inf).nan_to_num(torch.inf).min(1).values
        self._note_errors("object", error[torch.isfinite(batch.positions[:, :, 0])])

        presence, position = encoder.best_container(found)
        error = (position - batch.container).norm(dim=-1)
        error = torch.where(presence[:, 0] > 0.5, error, torch.inf)
        self._note_errors("container", error[torch.isfinite(batch.container[:, 0])])

    def _note_errors(self, what: str, error_m: Tensor) -> None:
        if len(error_m):
            near = error_m < 0.03
            self.metrics[f"{what}s_found"] = near.float().mean().item()
            self.metrics[f"{what}_position_error_mm"] = 1000 * error_m[near].median().item()


def _random_state() -> list[Tensor]:
    states = [torch.get_rng_state()]
    if torch.cuda.is_available():
        states += torch.cuda.get_rng_state_all()
    return states


def _set_random_state(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1 and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states[1:])
