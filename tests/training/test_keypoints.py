"""An encoder's sizes: keypoints, for a camera that has moved, and cells, for larger images."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_sim.physics.arm_simulation import table_camera
from conure_training.export.bundle_writer import export_graph
from conure_training.policies.graph import PolicyGraph
from conure_training.prior.encoder import SceneEncoder, detection_loss
from conure_training.prior.model import PriorSize, load_prior
from conure_training.prior.train import PriorConfig, train_prior

from .toy_runs import CONF, TINY_PRIOR

SIZE = 48


def seen(
    rows: int, most_px: int, generator: torch.Generator, times: int = 1
) -> tuple[torch.Tensor, ...]:
    """A white square for the tool, always at one place, and a green object, both moved as a turned
    camera moves them.

    Images (n, 48, 48, 3), or of a camera with `times` as many pixels a side; proprio (n, 11); the
    object's position (n, 1, 3), a metre a hundred of the 48's pixels, as it would be without the
    movement; the pixels (n, 2, 2) where object and container are seen.
    """
    moved = torch.randint(-most_px, most_px + 1, (rows, 2), generator=generator)
    true = torch.randint(14, 34, (rows, 2), generator=generator)
    image = torch.zeros(rows, SIZE, SIZE, 3, dtype=torch.uint8)
    for index in range(rows):
        row, column = (true[index] + moved[index]).tolist()
        image[index, row - 2 : row + 3, column - 2 : column + 3, 1] = 255
        row, column = (torch.tensor([8, 40]) + moved[index]).tolist()
        image[index, row - 2 : row + 3, column - 2 : column + 3] = 255
    position = torch.cat([true.flip(1) / 100.0, torch.zeros(rows, 1)], dim=1)[:, None]
    pixels = torch.stack([(true + moved).flip(1), torch.full((rows, 2), -9)], dim=1).float()
    image = image.repeat_interleave(times, 1).repeat_interleave(times, 2)
    return image, torch.zeros(rows, 11), position, times * pixels


@cache
def error_m(keypoints: int, times: int = 1, cell_px: int = 4) -> float:
    """Of the position, the median over images that were not trained on, after a short training."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    encoder = SceneEncoder(
        table_camera(times * SIZE), 11, width=16, keypoints=keypoints, cell_px=cell_px
    )
    optimizer = torch.optim.Adam(encoder.parameters(), 3e-3)
    image, proprio, position, pixels = seen(600, 4, generator, times)
    colours, container = torch.full_like(position, torch.nan), torch.full((32, 3), torch.nan)
    for _ in range(300):
        batch = torch.randint(len(image), (32,), generator=generator)
        found = encoder.detect(image[batch], proprio[batch])
        loss = detection_loss(
            encoder, found, position[batch], colours[batch], container, pixels[batch]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    image, proprio, position, _ = seen(200, 4, generator, times)
    with torch.no_grad():
        _, found_m, _ = encoder.eval().best_cells(encoder.detect(image, proprio))
    return float((found_m[:, 0] - position[:, 0])[:, :2].norm(dim=1).median())


def test_objects_are_found_where_they_are_although_the_camera_moved():
    assert error_m(keypoints=8) < 0.5 * error_m(keypoints=0)


def test_cells_of_eight_pixels_find_objects_in_images_of_twice_the_size():
    assert error_m(keypoints=8, times=2, cell_px=8) < 0.5 * error_m(keypoints=0)


@pytest.mark.parametrize(
    ("size_px", "cell_px", "cells"), [(48, 4, 12), (50, 4, 13), (96, 8, 12), (100, 8, 13)]
)
def test_the_grid_covers_images_of_any_size(size_px, cell_px, cells):
    encoder = SceneEncoder(table_camera(size_px), 11, width=16, keypoints=4, cell_px=cell_px)
    found = encoder.detect(
        torch.zeros(2, size_px, size_px, 3, dtype=torch.uint8), torch.zeros(2, 11)
    )
    assert encoder.grid == (cells, cells) and found.position.shape == (2, cells * cells, 3)


def test_before_training_keypoints_change_nothing():
    generator = torch.Generator().manual_seed(0)
    bare, with_keypoints = (
        SceneEncoder(table_camera(SIZE), 11, keypoints=count).eval() for count in (0, 6)
    )
    with_keypoints.load_state_dict(bare.state_dict(), strict=False)
    image = torch.randint(256, (4, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
    proprio = torch.randn(4, 11, generator=generator)
    assert torch.equal(bare(image, proprio), with_keypoints(image, proprio))


def test_a_prior_keeps_keypoints_and_cells_in_the_bundle_too_and_an_older_one_has_the_defaults(
    demos: Path, prior: Path, tmp_path
):
    words = [
        f"demos={demos}",
        f"out={tmp_path}",
        f"scenes={prior.parent}",
        *TINY_PRIOR,
        "size.keypoints=4",
        "size.cell_px=8",
    ]
    path = train_prior(load_config(CONF, "prior", PriorConfig, words))
    kept = load_prior(path)
    assert kept.encoder.keypoints is not None and kept.encoder.grid == (SIZE // 8, SIZE // 8)
    rng = np.random.default_rng(0)
    shown = {
        "image": rng.integers(0, 256, (8, SIZE, SIZE, 3), np.uint8),
        "proprio": rng.normal(size=(8, 16)),
    }
    shown["proprio"] = shown["proprio"].astype(np.float32)
    graph = PolicyGraph(kept.encoder, kept.flow, None)
    export_graph(graph, kept.contract, tmp_path / "bundle", shown, {})  # checks its own parity
    data = torch.load(prior, weights_only=True)
    del data["size"]["keypoints"], data["size"]["cell_px"]
    torch.save(data, tmp_path / "old.pt")
    old = load_prior(tmp_path / "old.pt").encoder
    assert old.keypoints is None and old.cell_px == 4


@pytest.mark.parametrize(
    ("name", "value"), [("keypoints", -1), ("cell_px", 6), ("cell_px", 2), ("cell_px", 0)]
)
def test_sizes_that_make_no_encoder_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"size\.{name}"):
        PriorSize(**{name: value})
