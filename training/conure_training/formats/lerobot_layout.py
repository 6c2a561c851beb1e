"""LeRobotDataset v3.0: names of its folders, files and columns.

Source: huggingface/lerobot 0.6.1, src/lerobot/datasets/utils.py and dataset_metadata.py.
"""

from pathlib import Path
from typing import Any

VERSION = "v3.0"
CHUNK_FILES = 1000
"""Files of one chunk."""
DATA_MB, VIDEO_MB = 100, 200
"""A file that has grown beyond is followed by another."""
FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{FILE}.mp4"
EPISODES_PATH = f"meta/episodes/{FILE}.parquet"
INFO, STATS, TASKS, EPISODES = (
    Path("meta/info.json"),
    Path("meta/stats.json"),
    Path("meta/tasks.parquet"),
    Path("meta/episodes"),
)
STATE, ACTION = "observation.state", "action"
PRIVILEGED = "observation.environment_state"
CAMERAS = "observation.images."
REWARD, DONE, SUCCESS = "next.reward", "next.done", "next.success"
INTERVENTION = "intervention"
POSITIONS = "labels.object_positions"
TIME = "capture_time"
NOTE = "conure"
"""Column of meta/episodes with what our own export notes of an episode, as JSON."""
VIDEO, IMAGE = "video", "image"


def feature(dtype: str, names: Any, size: int) -> dict[str, Any]:
    """Describe a column of numbers.

    Args:
        dtype: Of its numbers.
        names: Of them; None: they have none.
        size: How many; 1: the column holds plain numbers.
    """
    return {"dtype": dtype, "shape": [size], "names": names}


OWN_COLUMNS = {
    "timestamp": feature("float32", None, 1),
    "frame_index": feature("int64", None, 1),
    "episode_index": feature("int64", None, 1),
    "index": feature("int64", None, 1),
    "task_index": feature("int64", None, 1),
}
"""Columns that every data set has."""
