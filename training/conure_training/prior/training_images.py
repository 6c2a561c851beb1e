"""Demonstrations and static scenes as what the prior trains on: images, labels and where they lie
in the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_sim.envs.static_scenes import LabelledImages
from conure_sim.vision.camera import Camera
from conure_training.data.demonstrations import Demonstrations
from conure_training.prior.chunking import chunk_targets


@dataclass(frozen=True)
class Frames:
    """Images with everything that training asks of them; NaN labels where unknown. Tensors of equal
    first dimension.

    image (n, h, w, 3) uint8; proprio (n, p); positions (n, k, 3) and container (n, 3), m, base
    frame; colours (n, k, 3) in [0, 1]; pixels (n, k + 1, 2), where the middles of objects and,
    last, container are seen; action (n, chunk * a).
    """

    image: Tensor
    proprio: Tensor
    positions: Tensor
    colours: Tensor
    container: Tensor
    pixels: Tensor
    action: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def at(self, index: Tensor, device: torch.device) -> "Frames":
        """These rows, on the device."""
        return Frames(*(getattr(self, field.name)[index].to(device) for field in fields(self)))

    @staticmethod
    def joined(parts: Sequence["Frames"]) -> "Frames":
        """Rows of all parts, in order."""
        return Frames(
            *(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Frames))
        )


def frames_of_scenes(scenes: LabelledImages, action_dim: int) -> Frames:
    """Static scenes: labels, and no action."""
    return _frames(scenes, np.full((len(scenes.image), action_dim), np.nan, dtype=np.float32))


def frames_of_demonstrations(
    data: Demonstrations, camera: Camera, chunk: int = 1
) -> tuple[Frames, NDArray[np.bool_]]:
    """Every step of the demonstrations; and at which ones the whole chunk of actions was
    demonstrated.

    `pixels` are those of the camera as calibrated: where it stood, demonstrations do not tell.
    """
    container = np.where(data.state[:, -1:] > 0.5, data.state[:, -4:-1], np.nan).astype(np.float32)
    unknown = np.full_like(data.positions, np.nan)
    points = np.concatenate([data.positions, container[:, None]], axis=1)
    pixels = camera.project(points.reshape(-1, 3)).reshape(*points.shape[:2], 2).astype(np.float32)
    labelled = LabelledImages(data.image, data.proprio, data.positions, unknown, container, pixels)
    action, whole = chunk_targets(data.action, data.ends, chunk)
    return _frames(labelled, action), whole


def _frames(labelled: LabelledImages, action: NDArray[np.float32]) -> Frames:
    truth = (labelled.positions, labelled.colours, labelled.container, labelled.pixels)
    return Frames(
        *(torch.from_numpy(array) for array in (labelled.image, labelled.proprio, *truth, action))
    )
