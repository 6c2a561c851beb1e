"""Measure how fast `conure demos` collects: run as a command, because simulation does not know
training.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from conure_core.errors import ConureError
from conure_core.runtime.processes import ended_with_this_process

TRANSITIONS = 50_000
COMMAND = "from conure_core.cli import main; raise SystemExit(main())"
TIMEOUT_S = 3600


def collection_minutes(
    task: str,
    arm: str,
    episodes: int,
    processes: int,
    folder: Path,
) -> float:
    """Collect episodes and extrapolate to 50,000 transitions.

    Args:
        task: A task of `conure demos`.
        arm: Name of a robot, or the path of its YAML file.
        episodes: How many to collect.
        processes: How many collect at once.
        folder: Where they go; removed before and after.

    Returns:
        Minutes that 50,000 transitions take.

    Raises:
        ModuleNotFoundError: conure_training is not installed.
        ConureError: The command fails.
    """
    if importlib.util.find_spec("conure_training") is None:
        raise ModuleNotFoundError("No module named 'conure_training'", name="conure_training")
    shutil.rmtree(folder, ignore_errors=True)

    began = time.monotonic()
    done = subprocess.run(
        _command(task, arm, episodes, processes, folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        preexec_fn=ended_with_this_process(),
    )
    taken_s = time.monotonic() - began
    if done.returncode:
        raise ConureError(
            f"conure demos failed, so its rate is unknown: {done.stderr.strip()[-300:]}"
        )

    array = json.loads((folder / "action" / "zarr.json").read_text())
    transitions = int(array["shape"][0])
    shutil.rmtree(folder)
    return taken_s / 60 * TRANSITIONS / transitions


def _command(
    task: str,
    arm: str,
    episodes: int,
    processes: int,
    folder: Path,
) -> list[str]:
    """`conure demos` for episodes of one task alone."""
    counts = {"Lift": 0, "PlaceInTray": 0, "PlaceInBox": 0, task: episodes}
    pairs = [f"{name}: {count}" for name, count in counts.items()]
    overrides = [
        f"out={folder}",
        f"arm={arm}",
        "image_size=48",
        f"workers={processes}",
        "episodes={" + ", ".join(pairs) + "}",
    ]
    return [sys.executable, "-c", COMMAND, "demos", *overrides]
