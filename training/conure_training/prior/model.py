"""The behavioral prior: encoder and flow together, with the contract that they were trained
under.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.contract.spec import Contract, require_match
from conure_core.errors import ConfigError, DataError, SpecMismatch
from conure_sim.physics.arm_simulation import table_camera
from conure_sim.vision.camera import Camera
from conure_training.prior.encoder import SceneEncoder
from conure_training.prior.flow import ConditionalRealNVP
from conure_training.runtime.torch_files import load_torch, readable, save_torch

FORMAT = 1


@dataclass(frozen=True)
class PriorSize:
    """Sizes of the networks: slots, keypoints and cells of the encoder, couplings and hidden widths
    of the flow.

    `chunk`: actions in one flow, see prior.chunking. `log_scale_bound` 1 without `final_affine`:
    the authors' flow, see ConditionalRealNVP.
    """

    slots: int = 3
    couplings: int = 4
    hidden: tuple[int, ...] = (256, 256)
    chunk: int = 1
    log_scale_bound: float = 3.0
    final_affine: bool = True
    keypoints: int = 0
    cell_px: int = 4

    def __post_init__(self) -> None:
        if min(self.slots, self.chunk) < 1:
            raise ConfigError(
                f"size.slots and size.chunk must be at least 1, got {self.slots} and {self.chunk}"
            )
        if self.keypoints < 0:
            raise ConfigError(f"size.keypoints must not be negative, got {self.keypoints}")
        if self.cell_px < 4 or self.cell_px.bit_count() != 1:
            raise ConfigError(f"size.cell_px must be a power of two from 4, got {self.cell_px}")


class Prior(nn.Module):
    """p(a | o), a = f(z; e(o)), z ~ N(0, I): the encoder e of image and proprioception, the flow f
    on its features.

    With chunks of h, `a` is the next h actions, one after the other, and p is their joint density.
    `a` and z have `latent_dim` = h * `action_dim` values. Source: Singh et al., PARROT, ICLR 2021,
    arXiv 2011.10024; the encoder and its auxiliary task are ours.

    >>> prior = load_prior(Path("out/prior/prior.pt"))
    >>> features = prior.features(observation)  # (1, F), of one observation of the environment
    >>> action = prior.flow.decode(torch.randn(1, prior.latent_dim), features)
    """

    def __init__(self, contract: Contract, size: PriorSize, camera: Camera | None = None) -> None:
        """`camera`: the one that the arm is seen by. A prior that is loaded needs none: it comes
        with the weights.
        """
        super().__init__()
        self.contract, self.size = contract, size
        camera = camera or table_camera(contract.observation.image.shape[0])
        proprio_size = contract.observation.proprio.shape[0]
        self.encoder = SceneEncoder(
            camera, proprio_size, size.slots, keypoints=size.keypoints, cell_px=size.cell_px
        )
        self.flow = ConditionalRealNVP(
            self.latent_dim,
            self.encoder.feature_dim,
            size.couplings,
            size.hidden,
            size.log_scale_bound,
            size.final_affine,
        )

    @property
    def action_dim(self) -> int:
        """Values of one action."""
        return self.contract.action.values.shape[0]

    @property
    def latent_dim(self) -> int:
        """Values of z, and of what it is decoded to."""
        return self.size.chunk * self.action_dim

    def features(self, observation: dict[str, Any]) -> Tensor:
        """Features (1, feature_dim) of one observation of the environment."""
        with torch.inference_mode():
            image, proprio = (
                torch.from_numpy(observation[name])[None] for name in ("image", "proprio")
            )
            features: Tensor = self.encoder(image, proprio)
            return features

    def save(self, path: Path, note: dict[str, Any]) -> None:
        """Write weights, sizes, contract and a note, whole or not at all."""
        data = {
            "format": FORMAT,
            "contract": self.contract.to_dict(),
            "size": self.size.__dict__,
            "note": note,
        }
        save_torch(path, {**data, "weights": self.state_dict()})


def load_prior(path: Path, expected: Contract | None = None, chunks: bool = False) -> Prior:
    """The prior in this file. `chunks`: whether one over action chunks can be used.

    Raises: DataError if it cannot be read; SpecMismatch if for another arm or camera, or if over
    chunks unasked.
    """
    data = _read(path)
    with readable(path):
        prior = Prior(Contract.from_dict(data["contract"]), PriorSize(**data["size"]))
        prior.load_state_dict(data["weights"])
    if expected is not None:
        require_match(expected, prior.contract, f"the prior {path}")
    if prior.size.chunk > 1 and not chunks:
        raise SpecMismatch(
            f"the prior {path} decides {prior.size.chunk} actions at once, and one a tick is needed"
            " here: reinforcement learning, export and robot take size.chunk=1; conure evaluate"
            " and conure card take chunks"
        )
    return prior.eval().requires_grad_(False)


def prior_note(path: Path) -> dict[str, Any]:
    """What training wrote beside the weights: config, metrics, data. Raises: DataError if it cannot
    be read.
    """
    return dict(_read(path).get("note", {}))


def _read(path: Path) -> dict[str, Any]:
    try:
        return load_torch(path)
    except FileNotFoundError as error:
        raise DataError(f"no prior at {path}; run conure prior out={path.parent}") from error
