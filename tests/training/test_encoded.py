"""Features kept beside a prior: the encoder's own, and never those of another prior or other
demonstrations.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.writer import save_demonstrations
from conure_training.prior.feature_cache import (
    FEATURES,
    Encoded,
    batch_encoder,
    encode_demonstrations,
)
from conure_training.prior.model import load_prior


@pytest.fixture
def here(demos: Path, prior: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A prior and demonstrations of the test's own, without features."""
    shutil.copytree(demos, tmp_path / "demos")
    shutil.copy(prior, tmp_path / "prior.pt")
    return tmp_path / "prior.pt", tmp_path / "demos"


def encoded(prior: Path, demos: Path) -> Encoded:
    return encode_demonstrations(prior, load_prior(prior), demos)


def test_training_a_prior_keeps_what_its_encoder_says_of_the_demonstrations(
    demos: Path, prior: Path, here
) -> None:
    assert prior.with_name(FEATURES).is_file()
    kept, computed = encoded(prior, demos), encoded(*here)
    data = load_demonstrations(demos)
    assert len(kept.steps) == len(data) and len(kept.final) == len(data.ends)
    torch.testing.assert_close(kept.steps, computed.steps, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(kept.final, computed.final, atol=1e-4, rtol=1e-4)
    direct = batch_encoder(load_prior(prior).encoder)(data.final_image, data.final_proprio)
    torch.testing.assert_close(kept.final, direct, atol=1e-4, rtol=1e-4)


def test_a_second_run_reads_them(here, monkeypatch) -> None:
    first = encoded(*here)
    monkeypatch.setattr("conure_training.prior.feature_cache.load_demonstrations", None)
    second = encoded(*here)
    assert torch.equal(first.steps, second.steps) and torch.equal(first.final, second.final)


def test_other_demonstrations_are_encoded_anew(here) -> None:
    prior, demos = here
    before = encoded(prior, demos)
    data = load_demonstrations(demos)
    negative = replace(data, image=255 - data.image[:])
    save_demonstrations(demos, negative, {})
    assert not torch.allclose(encoded(prior, demos).steps, before.steps)


def test_another_prior_encodes_anew(here) -> None:
    prior, demos = here
    before, other = encoded(prior, demos), load_prior(prior)
    with torch.no_grad():
        for parameter in other.encoder.parameters():
            parameter.mul_(0.5)
    other.save(prior, {})
    assert not torch.allclose(encoded(prior, demos).steps, before.steps)


def test_damaged_features_are_made_again(here) -> None:
    before = encoded(*here)
    path = here[0].with_name(FEATURES)
    path.write_bytes(path.read_bytes()[:100])
    assert torch.equal(encoded(*here).steps, before.steps)


def test_a_folder_that_cannot_be_written_stops_nothing(here, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("conure_training.runtime.arrays.np.savez", refuse)
    assert len(encoded(*here).steps) == len(load_demonstrations(here[1]))
    assert sorted(path.name for path in here[0].parent.iterdir()) == ["demos", "prior.pt"]


def test_demonstrations_without_images_are_the_same_otherwise(demos: Path) -> None:
    whole, bare = load_demonstrations(demos), load_demonstrations(demos, images=False)
    assert bare.image.shape == (len(whole), 0, 0, 3) and bare.final_image.shape == (
        len(whole.ends),
        0,
        0,
        3,
    )
    for name in ("proprio", "state", "action", "reward", "final_state", "ends", "task"):
        assert (getattr(whole, name) == getattr(bare, name)).all()
