"""How fast `conure demos` collects, by running it: as a command, because simulation does not know
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


def collection_minutes(task: str, arm: str, episodes: int, processes: int, folder: Path) -> float:
    """Minutes that 50,000 transitions take, from collecting so many episodes into a folder, which
    is removed.

    Raises: ModuleNotFoundError if conure_training is not installed; ConureError if the command
    fails.
    """
    if importlib.util.find_spec("conure_training") is None:
        raise ModuleNotFoundError("No module named 'conure_training'", name="conure_training")
    shutil.rmtree(folder, ignore_errors=True)
    counts = {"Lift": 0, "PlaceInTray": 0, "PlaceInBox": 0, task: episodes}
    settings = {"out": folder, "arm": arm, "image_size": 48, "workers": processes}
    words = [f"{name}={value}" for name, value in settings.items()]
    words.append(
        "episodes={" + ", ".join(f"{name}: {count}" for name, count in counts.items()) + "}"
    )
    began = time.monotonic()
    command = [sys.executable, "-c", COMMAND, "demos", *words]
    tied = ended_with_this_process()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, preexec_fn=tied
    )
    taken_s = time.monotonic() - began
    if done.returncode:
        raise ConureError(
            f"conure demos failed, so its rate is unknown: {done.stderr.strip()[-300:]}"
        )
    transitions = int(json.loads((folder / "action" / "zarr.json").read_text())["shape"][0])
    shutil.rmtree(folder)
    return taken_s / 60 * TRANSITIONS / transitions
