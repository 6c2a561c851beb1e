"""Demonstrations and static scenes as training data: images, labels, and their pixels."""

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
    """n images with their labels and actions; NaN where a label is unknown."""

    image: Tensor
    """Shape (n, h, w, 3), uint8."""

    proprio: Tensor
    """Proprioception, shape (n, p)."""

    positions: Tensor
    """The objects' centres, shape (n, k, 3), m, base frame."""

    colours: Tensor
    """The objects' colours, shape (n, k, 3), in [0, 1]."""

    container: Tensor
    """The container's floor, shape (n, 3), m, base frame."""

    pixels: Tensor
    """The pixels of the objects' centres and, last, of the container, shape (n, k + 1, 2), as
    `Camera.project` says."""

    action: Tensor
    """Demonstrated chunks of actions, shape (n, chunk * a)."""

    def __len__(self) -> int:
        return len(self.image)

    def at(self, index: Tensor, device: torch.device) -> "Frames":
        """Select some rows.

        Args:
            index: Their indices, shape (m,).
            device: Where the result goes.

        Returns:
            m frames.
        """
        columns = (getattr(self, field.name) for field in fields(self))
        return Frames(*(column[index].to(device) for column in columns))

    @staticmethod
    def concatenate(parts: Sequence["Frames"]) -> "Frames":
        """Join the rows of all parts, in order."""
        columns = []
        for field in fields(Frames):
            columns.append(torch.cat([getattr(part, field.name) for part in parts]))
        return Frames(*columns)


def frames_of_scenes(scenes: LabelledImages, action_dim: int) -> Frames:
    """Take static scenes as frames.

    Args:
        scenes: n labelled images.
        action_dim: Values of an action, which are all NaN.

    Returns:
        n frames.
    """
    unknown = np.full((len(scenes.image), action_dim), np.nan, dtype=np.float32)
    return _frames(scenes, unknown)


def frames_of_demonstrations(
    data: Demonstrations, camera: Camera, chunk: int = 1
) -> tuple[Frames, NDArray[np.bool_]]:
    """Take every step of demonstrations as a frame.

    Args:
        data: n steps.
        camera: As calibrated; its pixels label the objects, because demonstrations do not record
            where a displaced camera stood.
        chunk: Actions in a chunk.

    Returns:
        n frames, and whether all of a step's chunk was demonstrated, shape (n,).
    """
    container = np.where(data.state[:, -1:] > 0.5, data.state[:, -4:-1], np.nan).astype(np.float32)
    colours = np.full_like(data.positions, np.nan)

    points = np.concatenate([data.positions, container[:, None]], axis=1)
    pixels = camera.project(points.reshape(-1, 3)).astype(np.float32)
    pixels = pixels.reshape(*points.shape[:2], 2)

    labelled = LabelledImages(data.image, data.proprio, data.positions, colours, container, pixels)
    action, whole = chunk_targets(data.action, data.ends, chunk)
    return _frames(labelled, action), whole


def _frames(labelled: LabelledImages, action: NDArray[np.float32]) -> Frames:
    return Frames(
        image=torch.from_numpy(labelled.image),
        proprio=torch.from_numpy(labelled.proprio),
        positions=torch.from_numpy(labelled.positions),
        colours=torch.from_numpy(labelled.colours),
        container=torch.from_numpy(labelled.container),
        pixels=torch.from_numpy(labelled.pixels),
        action=torch.from_numpy(action),
    )
