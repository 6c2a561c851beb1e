"""Collect a few scripted demonstrations, and read them back.

python examples/collect_demonstrations.py [FOLDER]
"""

import sys
from pathlib import Path

from conure_core.config.loader import load_config
from conure_training.data.collect import DemosConfig, collect
from conure_training.data.demonstrations import load_demonstrations


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples/demos")
    episodes = ["episodes.Lift=4", "episodes.PlaceInTray=2", "episodes.PlaceInBox=0"]
    settings = [f"out={folder}", "workers=1", *episodes]  # the keys of `conure demos`
    collect(load_config("conure_training.conf", "demos", DemosConfig, settings))

    data = load_demonstrations(folder)
    print(f"{len(data.ends)} episodes, {len(data)} steps")
    for start, end, task in zip(data.starts, data.ends, data.task, strict=True):
        print(f"  {data.tasks[task]:12} {end - start:3} steps, last reward {data.reward[end - 1]}")


if __name__ == "__main__":  # collecting starts processes, which import this file
    main()
