"""The behavioral prior: encoder and flow, with the contract that they were trained under."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.contract.spec import Contract, require_match
from conure_core.errors import ConfigError, DataError, SpecMismatch
from conure_sim.physics.arm_simulation import table_camera
from conure_sim.vision.camera import Camera
from conure_training.data.environments import require_images
from conure_training.prior.encoder import SceneEncoder
from conure_training.prior.flow import ConditionalRealNVP
from conure_training.runtime.torch_files import load_torch, readable, save_torch

FORMAT = 1


@dataclass(frozen=True)
class PriorSize:
    """Sizes of the networks, see SceneEncoder and ConditionalRealNVP."""

    slots: int = 3
    """Objects among the encoder's features."""

    couplings: int = 4
    """Affine couplings of the flow."""

    hidden: tuple[int, ...] = (256, 256)
    """Hidden widths of each coupling's MLP."""

    chunk: int = 1
    """Actions that the flow decides at once, see prior.chunking."""

    log_scale_bound: float = 3.0
    """Bound on the flow's log-scales; 1, without `final_affine`: the flow of PARROT's authors."""

    final_affine: bool = True
    """An affine map of the features follows the couplings."""

    keypoints: int = 0
    """Points by which the encoder notices a displaced camera; 0: none."""

    cell_px: int = 4
    """Width of a cell of the encoder's grid: a power of two from 4."""

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
    """p(a | o): a = f(z; e(o)), z ~ N(0, I), with the encoder e and the flow f on its features.

    With chunks of h, `a` holds the next h actions in order, and p is their joint density. `a` and z
    have `latent_dim` = h * `action_dim` values. Source: Singh et al., PARROT, ICLR 2021, arXiv
    2011.10024; the encoder and its auxiliary task are ours.

    >>> prior = load_prior(Path("out/prior/prior.pt"))
    >>> features = prior.features(observation)  # (1, F), of one observation of the environment
    >>> action = prior.flow.decode(torch.randn(1, prior.latent_dim), features)
    """

    def __init__(self, contract: Contract, size: PriorSize, camera: Camera | None = None) -> None:
        """Make an untrained prior.

        Args:
            contract: Observation, action and robot.
            size: Of the networks.
            camera: The calibrated camera; None: the default arm's. A prior that is loaded needs
                none, because its weights hold the camera.
        """
        super().__init__()
        self.contract = contract
        self.size = size
        self.encoder = SceneEncoder(
            camera or table_camera(contract.observation.image.shape[0]),
            contract.observation.proprio.shape[0],
            size.slots,
            keypoints=size.keypoints,
            cell_px=size.cell_px,
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
        """Values of z, and of the chunk of actions that it decodes to."""
        return self.size.chunk * self.action_dim

    def features(self, observation: dict[str, Any]) -> Tensor:
        """Encode one observation of the environment as features, shape (1, feature_dim). Raises:
        ConfigError if it has no image.
        """
        require_images(observation)
        with torch.inference_mode():
            image = torch.from_numpy(observation["image"])
            proprio = torch.from_numpy(observation["proprio"])
            features: Tensor = self.encoder(image[None], proprio[None])
            return features

    def save(self, path: Path, note: dict[str, Any]) -> None:
        """Write weights, sizes and contract, whole or not at all.

        Args:
            path: The file, usually prior.pt.
            note: Kept beside the weights, see `prior_note`.
        """
        data = {
            "format": FORMAT,
            "contract": self.contract.to_dict(),
            "size": self.size.__dict__,
            "note": note,
            "weights": self.state_dict(),
        }
        save_torch(path, data)


def load_prior(path: Path, expected: Contract | None = None, chunks: bool = False) -> Prior:
    """Load a prior for inference: in evaluation mode, on the CPU, without gradients.

    Args:
        path: The file that `conure prior` wrote.
        expected: The contract that it must have; None: any.
        chunks: Whether a prior over action chunks is accepted.

    Returns:
        The prior.

    Raises:
        DataError: The file cannot be read.
        SpecMismatch: The prior is for another arm or camera, or over chunks.
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
            " and conure prior-report take chunks"
        )
    return prior.eval().requires_grad_(False)


def prior_note(path: Path) -> dict[str, Any]:
    """Read training's note beside the weights: config, metrics, fingerprint of the demonstrations.

    Raises: DataError if the file cannot be read.
    """
    return dict(_read(path).get("note", {}))


def _read(path: Path) -> dict[str, Any]:
    try:
        return load_torch(path)
    except FileNotFoundError as error:
        raise DataError(f"no prior at {path}; run conure prior out={path.parent}") from error
