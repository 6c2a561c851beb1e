"""Starts a node so that it ends with its launcher, and quietly at any moment.

`python -m conure_ros.bringup.node_process MODULE --ros-args ...`; `main` is each node's executable.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path

from conure_ros.comms.ending import end_requests, tie_to_launcher


def main() -> None:
    """Run the node that the executable is named after, as `ros2 run` and `ros2 launch` start it."""
    run_module(f"conure_ros.nodes.{Path(sys.argv[0]).name}")


def run_module(name: str) -> None:
    """Import a node's module and run it.

    Args:
        name: Full name of the module.
    """
    tie_to_launcher()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # never a traceback
    # Nothing is there to end in order before the node handles its signals itself.
    with end_requests(lambda: os._exit(0)):
        module = import_module(name)
    module.main()


if __name__ == "__main__":
    run_module(sys.argv[1])
