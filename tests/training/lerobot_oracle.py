"""What LeRobot itself makes of data sets. Run by the Python that has it: FOLDER FIGURES WRITTEN.

It reads the data set in FOLDER, writes what it found to FIGURES (.npz), and writes a data set of
its own, with joint angles by name, to WRITTEN.
"""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from lerobot.datasets.dataset_tools import delete_episodes, merge_datasets
from lerobot.datasets.lerobot_dataset import LeRobotDataset

JOINTS = ["waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate"]
GRIPPER = "left_finger"
HOME = [0.0, -0.1015, -0.2842, 0.0, -1.3881, 0.0]
LENGTHS, RATE_HZ = (9, 13), 20


def opened(folder):
    return LeRobotDataset("local/ours", root=folder, video_backend="pyav")


def read(folder):
    dataset = opened(folder)
    items = [dataset[index] for index in range(len(dataset))]
    found = {
        key.removeprefix("observation."): np.stack([item[key].numpy() for item in items])
        for key in dataset.features
    }
    found["tasks"] = np.array([item["task"] for item in items])
    found["episodes"] = dataset.num_episodes
    return found


def frame(index, count):
    """Joint targets that move the waist a little, and where the joints were."""
    target = np.array([*HOME, 0.03 if index < count / 2 else 0.02], np.float32)
    target[0] += 0.005 * index
    measured = target.copy()
    measured[0] -= 0.001
    image = np.full((48, 64, 3), 10 * index, np.uint8)
    return {"observation.state": measured, "action": target, "observation.images.top": image}


def write(folder):
    names = [f"{name}.pos" for name in (*JOINTS, GRIPPER)]
    numbers = {"dtype": "float32", "shape": (len(names),), "names": names}
    picture = {"dtype": "video", "shape": (48, 64, 3), "names": ["height", "width", "channels"]}
    dataset = LeRobotDataset.create(
        "local/theirs",
        RATE_HZ,
        {"observation.state": numbers, "action": numbers, "observation.images.top": picture},
        root=folder,
    )
    for count in LENGTHS:
        for index in range(count):
            dataset.add_frame({**frame(index, count), "task": "Pick the cube."})
        dataset.save_episode()
    dataset.finalize()


if __name__ == "__main__":
    folder, figures, written = (Path(word) for word in sys.argv[1:])
    found = read(folder)
    fewer = delete_episodes(opened(folder), [0], written.with_name("fewer"), "local/fewer")
    both = merge_datasets([opened(folder), opened(folder)], "local/both", written.with_name("both"))
    np.savez(figures, **found, fewer=len(fewer), both=len(both))
    write(written)
