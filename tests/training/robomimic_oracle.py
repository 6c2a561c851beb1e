"""What robomimic itself makes of a file. Run by the Python that has it: FILE FIGURES.

It reads the part `train` of FILE, and writes what it found to FIGURES (.npz).
"""

import sys

import numpy as np
import robomimic.utils.obs_utils as observations
from robomimic.utils.dataset import SequenceDataset

KEYS = {"low_dim": ["proprio"], "rgb": ["camera_image", "wrist_image"]}

if __name__ == "__main__":
    path, figures = sys.argv[1:]
    observations.initialize_obs_utils_with_obs_specs({"obs": KEYS})
    dataset = SequenceDataset(
        path,
        obs_keys=[key for keys in KEYS.values() for key in keys],
        dataset_keys=("actions", "rewards", "dones", "interventions"),
        load_next_obs=True,
        filter_by_attribute="train",
    )
    items = [dataset[index] for index in range(len(dataset))]
    found = {"demos": np.array(dataset.demos)}
    for name in ("actions", "rewards", "dones", "interventions"):
        found[name] = np.concatenate([item[name] for item in items])
    for group in ("obs", "next_obs"):
        for key in items[0][group]:
            found[f"{group}/{key}"] = np.concatenate([item[group][key] for item in items])
    np.savez(figures, **found)
