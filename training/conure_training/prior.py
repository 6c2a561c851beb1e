"""The behavioral prior: encoder and flow together, with the contract that they were trained under."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.errors import DataError
from conure_core.spec import Contract, require_match
from conure_sim.camera import Camera
from conure_sim.environment import table_camera
from conure_training.encoder import SceneEncoder
from conure_training.files import UNREADABLE, save_torch
from conure_training.flows import ConditionalRealNVP

FORMAT = 1


@dataclass(frozen=True)
class PriorSize:
    """Sizes of the networks: slots and learned features of the encoder, couplings and hidden widths of the flow."""

    slots: int = 3
    learned: int = 8
    couplings: int = 4
    hidden: tuple[int, ...] = (256, 256)


class Prior(nn.Module):
    """p(action | observation): features = encoder(image, proprio), a = flow(z; features), z ~ N(0, I)."""

    def __init__(self, contract: Contract, size: PriorSize, camera: Camera | None = None) -> None:
        """`camera`: the one that the arm is seen by. A prior that is loaded needs none: it comes with the weights."""
        super().__init__()
        self.contract, self.size = contract, size
        camera = camera or table_camera(contract.observation.image.shape[0])
        self.encoder = SceneEncoder(camera, contract.observation.proprio.shape[0], size.slots, size.learned)
        action_dim = contract.action.values.shape[0]
        self.flow = ConditionalRealNVP(action_dim, self.encoder.feature_dim, size.couplings, size.hidden)

    @property
    def action_dim(self) -> int:
        """Dimension of actions and latents."""
        return self.contract.action.values.shape[0]

    def features(self, observation: dict[str, Any]) -> Tensor:
        """Features (1, feature_dim) of one observation of the environment."""
        with torch.inference_mode():
            image, proprio = (torch.from_numpy(observation[name])[None] for name in ("image", "proprio"))
            features: Tensor = self.encoder(image, proprio)
            return features

    def save(self, path: Path, note: dict[str, Any]) -> None:
        """Write weights, sizes, contract and a note, whole or not at all."""
        data = {"format": FORMAT, "contract": self.contract.to_dict(), "size": self.size.__dict__, "note": note}
        save_torch(path, {**data, "weights": self.state_dict()})


def load_prior(path: Path, expected: Contract | None = None) -> Prior:
    """The prior in this file. Raises: DataError if it cannot be read; SpecMismatch if for another arm or camera."""
    try:
        data = torch.load(path, weights_only=True)
        prior = Prior(Contract.from_dict(data["contract"]), PriorSize(**data["size"]))
        prior.load_state_dict(data["weights"])
    except FileNotFoundError as error:
        raise DataError(f"no prior at {path}; run conure prior out={path.parent}") from error
    except UNREADABLE as error:
        raise DataError(f"{path} is not a readable prior ({str(error).splitlines()[0]}); train it again") from error
    if expected is not None:
        require_match(expected, prior.contract, f"the prior {path}")
    return prior.eval().requires_grad_(False)
