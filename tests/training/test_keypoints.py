"""An encoder with keypoints: where objects are although the camera has moved."""

from pathlib import Path

import numpy as np
import pytest
import torch

from conure_core.config import load_config
from conure_core.errors import ConfigError
from conure_sim.environment import table_camera
from conure_training.encoder import SceneEncoder, detection_loss
from conure_training.export import export_bundle
from conure_training.prior import PriorSize, load_prior
from conure_training.train_prior import PriorConfig, train_prior

from .toy_runs import CONF, TINY_PRIOR

SIZE = 48


def seen(rows: int, most_px: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """A white square for the tool, always at one place, and a green object, both moved as a turned camera moves them.

    Images (n, 48, 48, 3); proprio (n, 11); the object's position (n, 1, 3), a metre a hundred pixels, as it would be
    without the movement; the pixels (n, 2, 2) where object and container are seen.
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
    return image, torch.zeros(rows, 11), position, pixels


def error_m(keypoints: int) -> float:
    """Of the position, the median over images that were not trained on, after a short training."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    encoder = SceneEncoder(table_camera(SIZE), 11, width=16, keypoints=keypoints)
    optimizer = torch.optim.Adam(encoder.parameters(), 3e-3)
    image, proprio, position, pixels = seen(2000, 4, generator)
    colours, container = torch.full_like(position, torch.nan), torch.full((64, 3), torch.nan)
    for _ in range(200):
        batch = torch.randint(len(image), (64,), generator=generator)
        found = encoder.detect(image[batch], proprio[batch])
        loss = detection_loss(encoder, found, position[batch], colours[batch], container, pixels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    image, proprio, position, _ = seen(200, 4, generator)
    with torch.no_grad():
        _, found_m, _ = encoder.eval()._best_cells(encoder.detect(image, proprio))
    return float((found_m[:, 0] - position[:, 0])[:, :2].norm(dim=1).median())


def test_objects_are_found_where_they_are_although_the_camera_moved():
    assert error_m(keypoints=8) < 0.5 * error_m(keypoints=0)


def test_before_training_keypoints_change_nothing():
    generator = torch.Generator().manual_seed(0)
    bare, with_keypoints = (SceneEncoder(table_camera(SIZE), 11, keypoints=count).eval() for count in (0, 6))
    with_keypoints.load_state_dict(bare.state_dict(), strict=False)
    image = torch.randint(256, (4, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
    proprio = torch.randn(4, 11, generator=generator)
    assert torch.equal(bare(image, proprio), with_keypoints(image, proprio))


def test_a_prior_keeps_its_keypoints_in_the_bundle_too_and_an_older_one_has_none(demos: Path, prior: Path, tmp_path):
    words = [f"demos={demos}", f"out={tmp_path}", f"scenes={prior.parent}", *TINY_PRIOR, "size.keypoints=4"]
    path = train_prior(load_config(CONF, "prior", PriorConfig, words))
    kept = load_prior(path)
    assert kept.encoder.keypoints is not None
    rng = np.random.default_rng(0)
    shown = {"image": rng.integers(0, 256, (8, SIZE, SIZE, 3), np.uint8), "proprio": rng.normal(size=(8, 16))}
    shown["proprio"] = shown["proprio"].astype(np.float32)
    export_bundle(kept.encoder, kept.flow, None, kept.contract, tmp_path / "bundle", shown, {})  # checks its own parity
    data = torch.load(prior, weights_only=True)
    del data["size"]["keypoints"]
    torch.save(data, tmp_path / "old.pt")
    assert load_prior(tmp_path / "old.pt").encoder.keypoints is None


def test_less_than_none_is_refused():
    with pytest.raises(ConfigError, match=r"size\.keypoints"):
        PriorSize(keypoints=-1)
