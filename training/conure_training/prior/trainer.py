"""The three steps that train a prior. An interrupted run goes on from a checkpoint, bit by bit on
as many cores.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.errors import ConfigError, DataError
from conure_sim.vision.camera import Camera
from conure_training.prior.augmentation import PlaneShift, shift_images
from conure_training.prior.encoder import detection_loss
from conure_training.prior.feature_cache import encoding_by
from conure_training.prior.flow import flow_loss
from conure_training.prior.model import Prior
from conure_training.prior.training_images import Frames
from conure_training.runtime.cpu_threads import FreeCores
from conure_training.runtime.out_of_memory import blamed_on
from conure_training.runtime.parallel import progress_bar
from conure_training.runtime.torch_files import load_torch, readable, save_torch

AUXILIARY_WEIGHT = 1.0
CHECKPOINT = "checkpoint.pt"
MEASURED_FRAMES = 2000


class TrainerSettings(Protocol):
    """What of the configuration the trainer reads; see PriorConfig."""

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


@dataclass(frozen=True)
class Phase:
    """One of the three steps: `loss` is called once an optimizer step; `batch_key` names the
    setting of its batch.
    """

    label: str
    steps: int
    rate: float
    parameters: list[nn.Parameter]
    loss: Callable[[], Tensor]
    batch_key: str


class PriorTrainer:
    """Maximum likelihood of demonstrated actions, with the auxiliary task L_aux (where objects are)
    for the encoder.

        1. encoder             min L_aux              static scenes and demonstration frames
        2. encoder and flow    min L_aux - log p(a | image, proprio)
        3. flow                min -log p(a | features + noise)     features of the frozen encoder,
           computed once

    Without any label the first two are both -log p. Steps of held-out episodes are never trained
    on.
    """

    def __init__(
        self,
        config: TrainerSettings,
        prior: Prior,
        frames: Frames,
        scenes: Frames | None,
        held_out: NDArray[np.bool_],
        whole: NDArray[np.bool_],
        camera: Camera,
        identity: str,
    ):
        """`scenes`: labelled; `held_out`, `whole` (n,): see held_out_steps and
        frames_of_demonstrations.

        `identity`: of the configuration and the data; a checkpoint with another one is not gone on
        from.
        """
        self.config, self.prior, self.frames, self.scenes, self.identity = (
            config,
            prior,
            frames,
            scenes,
            identity,
        )
        self.train_index = torch.from_numpy(np.flatnonzero(~held_out))
        self.held_index = torch.from_numpy(np.flatnonzero(held_out & whole))
        if len(self.held_index) == 0:
            raise DataError(
                f"no held-out episode is as long as size.chunk={prior.size.chunk}; ask for a"
                " shorter chunk"
            )
        self.metrics: dict[str, float] = {
            "labelled_scenes": 0.0 if scenes is None else float(len(scenes))
        }
        self.device = next(prior.parameters()).device
        self.features = torch.empty(0)
        self.plane_shift = PlaneShift.of(camera)
        self.cores = FreeCores()
        prior.encoder.set_normalization(frames.proprio[self.train_index].to(self.device))

    def run(self) -> None:
        """All three steps, from the checkpoint if there is one; fills `metrics`, and `features` of
        all frames.
        """
        with self.cores:
            self._run(self._checkpoint())

    def _run(self, saved: dict[str, Any] | None) -> None:
        config, prior = self.config, self.prior
        encoder, flow = list(prior.encoder.parameters()), list(prior.flow.parameters())
        alone = self._auxiliary_loss if self._labelled else self._likelihood_loss
        parameters = encoder if self._labelled else [*encoder, *flow]
        rate = config.encoder_rate
        self._fit(
            0, Phase("encoder", config.encoder_steps, rate, parameters, alone, "batch_size"), saved
        )
        both = [*encoder, *flow]
        phase = Phase(
            "encoder and flow", config.joint_steps, rate / 4, both, self._joint_loss, "batch_size"
        )
        self._fit(1, phase, saved)
        if saved is None or saved["phase"] < 2:
            self._measure_positions()
        self.features = encoding_by(prior.encoder)(self.frames.image, self.frames.proprio)
        features, actions = (
            self.features[self.train_index],
            self.frames.action[self.train_index].to(self.device),
        )

        def loss() -> Tensor:
            batch = torch.randint(len(features), (config.flow_batch_size,))
            return flow_loss(prior.flow, features[batch], actions[batch], config.feature_noise)

        self._fit(
            2,
            Phase("flow", config.flow_steps, config.flow_rate, flow, loss, "flow_batch_size"),
            saved,
        )
        self._measure_likelihood(features, actions)

    @property
    def _labelled(self) -> bool:
        return self.scenes is not None or self.config.labelled_demonstrations

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
        with (
            progress_bar() as bar,
            blamed_on(phase.batch_key, getattr(self.config, phase.batch_key)),
        ):
            task = bar.add_task(phase.label, total=phase.steps, completed=first, note="")
            for index in range(first, phase.steps):
                if index > first and index % self.config.checkpoint_every == 0:
                    self._write_checkpoint(number, index, optimizer, schedule)
                loss = phase.loss()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(phase.parameters, 10.0)
                optimizer.step()
                schedule.step()
                if index % 50 == 0:
                    bar.update(task, note=f"loss {loss.item():.2f}")
                bar.advance(task)
                self.cores.look()
        self.metrics[f"{phase.label} loss"] = loss.item()

    def _write_checkpoint(self, number: int, step: int, optimizer: Any, schedule: Any) -> None:
        data = {
            "identity": self.identity,
            "phase": number,
            "step": step,
            "prior": self.prior.state_dict(),
        }
        data |= {
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "metrics": self.metrics,
        }
        save_torch(Path(self.config.out) / CHECKPOINT, {**data, "random": _random_state()})

    def _checkpoint(self) -> dict[str, Any] | None:
        """What an interrupted run left, its weights and metrics taken over.

        Raises: DataError if it is damaged; ConfigError if it is of another configuration or other
        demonstrations.
        """
        path = Path(self.config.out) / CHECKPOINT
        if not path.is_file():
            return None
        with readable(path, "remove it to start over"):
            data = load_torch(path, "remove it to start over")
            if data["identity"] == self.identity:
                self.prior.load_state_dict(data["prior"])
                self.metrics = dict(data["metrics"])
                return data
        raise ConfigError(
            f"{path} belongs to a run with another configuration or other demonstrations; choose"
            " another out= or remove it"
        )

    def _demonstration_batch(self, size: int) -> Frames:
        return self.frames.at(
            self.train_index[torch.randint(len(self.train_index), (size,))], self.device
        )

    def _auxiliary_batch(self) -> Frames:
        size = self.config.batch_size
        if self.scenes is None:
            return self._demonstration_batch(size)
        share = size // 4 if self.config.labelled_demonstrations else 0
        batch = self.scenes.at(torch.randint(len(self.scenes), (size - share,)), self.device)
        return Frames.joined([batch, self._demonstration_batch(share)]) if share else batch

    def _auxiliary_loss(self) -> Tensor:
        batch = self._auxiliary_batch()
        if self.config.shift_px:
            batch = self._shifted(batch)
        found = self.prior.encoder.detect(batch.image, batch.proprio)
        return detection_loss(
            self.prior.encoder, found, batch.positions, batch.colours, batch.container, batch.pixels
        )

    def _shifted(self, batch: Frames) -> Frames:
        """Every image moved at random, and its labels along: the pixels, and the points that they
        are seen from.
        """
        most = self.config.shift_px
        offset = torch.randint(-most, most + 1, (len(batch), 2)).to(self.device)
        after = batch.pixels + offset[:, None]
        points = torch.cat([batch.positions, batch.container[:, None]], dim=1)
        points = self.plane_shift(points, batch.pixels, after)
        moved = {"image": shift_images(batch.image, offset), "pixels": after}
        return replace(batch, **moved, positions=points[:, :-1], container=points[:, -1])

    def _likelihood_loss(self) -> Tensor:
        batch = self._demonstration_batch(self.config.batch_size)
        return -self.prior.flow.log_prob(
            batch.action, self.prior.encoder(batch.image, batch.proprio)
        ).mean()

    def _joint_loss(self) -> Tensor:
        # Never shifted: what is seen must stand where the proprioception says that the tool is.
        likelihood = self._likelihood_loss()
        return (
            AUXILIARY_WEIGHT * self._auxiliary_loss() + likelihood if self._labelled else likelihood
        )

    @torch.no_grad()
    def _measure_likelihood(self, features: Tensor, actions: Tensor) -> None:
        held_actions = self.frames.action[self.held_index].to(self.device)
        held = self.prior.flow.log_prob(held_actions, self.features[self.held_index])
        self.metrics["held_out_log_likelihood"] = held.mean().item()
        self.metrics["train_log_likelihood"] = (
            self.prior.flow.log_prob(actions[:5000], features[:5000]).mean().item()
        )
        for percent in (1, 5, 50):
            self.metrics[f"held_out_log_likelihood_p{percent:02d}"] = held.quantile(
                percent / 100
            ).item()

    @torch.no_grad()
    def _measure_positions(self) -> None:
        """Where objects and containers of held-out demonstrations are found: share within 3 cm,
        median error, mm.
        """
        batch = self.frames.at(
            self.held_index[:: max(1, len(self.held_index) // MEASURED_FRAMES)], self.device
        )
        encoder = self.prior.encoder
        found = encoder.detect(batch.image, batch.proprio)
        presence, position, _ = encoder._best_cells(found)
        error = (position[:, :, None] - batch.positions[:, None]).norm(dim=-1)
        error = torch.where(presence > 0.5, error, torch.inf).nan_to_num(torch.inf).min(1).values
        self._note_errors("object", error[torch.isfinite(batch.positions[:, :, 0])])
        presence, position = encoder._best_container(found)
        error = (position - batch.container).norm(dim=-1)
        error = torch.where(presence[:, 0] > 0.5, error, torch.inf)
        self._note_errors("container", error[torch.isfinite(batch.container[:, 0])])

    def _note_errors(self, what: str, error_m: Tensor) -> None:
        if len(error_m):
            near = error_m < 0.03
            self.metrics[f"{what}s_found"] = near.float().mean().item()
            self.metrics[f"{what}_position_error_mm"] = 1000 * error_m[near].median().item()


def _random_state() -> list[Tensor]:
    return [
        torch.get_rng_state(),
        *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []),
    ]


def _set_random_state(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1 and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states[1:])
