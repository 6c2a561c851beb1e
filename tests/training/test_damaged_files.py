"""A file that a power cut or a full disk left empty, short or full of zeros is called damaged by
whoever reads it.
"""

import numpy as np
import pytest
import torch

from conure_core.errors import DataError
from conure_training.data.demonstrations import (
    ARRAYS,
    Demonstrations,
    load_demonstrations,
)
from conure_training.data.writer import save_demonstrations
from conure_training.evaluation.robot_trials import read_trials
from conure_training.runtime.arrays import load_arrays, save_arrays
from conure_training.runtime.torch_files import load_torch, save_torch

DAMAGES = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "short by one": lambda content: content[:-1],
    "zeros": lambda content: bytes(len(content)),
    "zeros at its end": lambda content: (
        content[: len(content) // 2] + bytes(len(content) - len(content) // 2)
    ),
    "text": lambda content: b"not what you think",
}
damages = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


def damage_file(path, damage):
    path.write_bytes(damage(path.read_bytes()))


def demonstrations(steps=6):
    rows = {name: np.zeros((steps, 3), np.float32) for name in ("proprio", "state")}
    final = {f"final_{name}": np.zeros((1, 3), np.float32) for name in ("proprio", "state")}
    images = {
        "image": np.full((steps, 4, 4, 3), 9, np.uint8),
        "final_image": np.full((1, 4, 4, 3), 9, np.uint8),
    }
    rest = {"action": np.full((steps, 7), 0.5, np.float32), "reward": np.ones(steps, np.float32)}
    places = {"positions": np.ones((steps, 2, 3), np.float32)}
    one = {name: np.array([value]) for name, value in (("ends", steps), ("task", 0), ("seed", 1))}
    times = {"time_s": np.arange(steps) / 10}
    parts = {**rows, **final, **images, **rest, **places, **times, **one}
    return Demonstrations(**parts, tasks=("Lift",))


@damages
def test_of_torch(tmp_path, damage):
    path = tmp_path / "policy.pt"
    save_torch(path, {"weights": torch.arange(1000.0)})
    assert torch.equal(load_torch(path, "train it again")["weights"], torch.arange(1000.0))
    damage_file(path, damage)
    with pytest.raises(DataError, match=r"policy\.pt is damaged \(.+\); train it again"):
        load_torch(path, "train it again")


@pytest.mark.parametrize("data", [[1, 2], 3, None])
def test_of_torch_that_holds_something_else(tmp_path, data):
    save_torch(tmp_path / "policy.pt", data)
    with pytest.raises(DataError, match="is damaged"):
        load_torch(tmp_path / "policy.pt", "train it again")


@damages
def test_of_arrays_that_can_be_made_again(tmp_path, damage):
    path = tmp_path / "block.npz"
    save_arrays(path, "seed 1", {"values": np.arange(1000)})
    assert (load_arrays(path, "seed 1")["values"] == np.arange(1000)).all()
    damage_file(path, damage)
    assert load_arrays(path, "seed 1") is None


@damages
def test_of_any_file_of_a_data_set(tmp_path, damage):
    path = tmp_path / "demos.zarr"
    save_demonstrations(path, demonstrations(), {})
    load_demonstrations(path)
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        content = file.read_bytes()
        file.write_bytes(damage(content))
        if (
            file.parent == path or file.name == "zarr.json"
        ):  # checksums of chunks are not Zarr's default
            with pytest.raises(
                DataError, match=r"demos\.zarr is damaged \(.+\); run conure demos again"
            ):
                load_demonstrations(path)
        file.write_bytes(content)


def test_of_a_data_set_that_lost_an_array(tmp_path):
    for name in ARRAYS:
        path = tmp_path / name
        save_demonstrations(path, demonstrations(), {})
        (path / name / "zarr.json").unlink()
        with pytest.raises(DataError, match=f"{name} is damaged"):
            load_demonstrations(path)


@damages
def test_of_trials(tmp_path, damage):
    path = tmp_path / "trials.json"
    path.write_text('{"format": 1, "trials": []}')
    damage_file(path, damage)
    with pytest.raises(
        DataError, match=r"trials\.json is damaged \(.+\); remove it and run the trials again"
    ):
        read_trials(tmp_path)
