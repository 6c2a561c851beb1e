"""Starts a node so that it ends with its launcher, and quietly at any moment.

`python -m conure_ros.bringup.node_process MODULE --ros-args ...`; `main` is each node's executable.
"""

import signal
import sys
from importlib import import_module
from pathlib import Path

from conure_ros.comms.ending import tie_to_launcher


def main() -> None:
    """Run the node that the executable is named after, as `ros2 run` and `ros2 launch` start it."""
    run_module(f"conure_ros.nodes.{Path(sys.argv[0]).name}")


def run_module(name: str) -> None:
    """Import a node's module and run it.

    Args:
        name: Full name of the module.
    """
    tie_to_launcher()
    # During imports an interrupt ends the process without a traceback; afterwards the node handles
    # it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import_module(name).main()


if __name__ == "__main__":
    run_module(sys.argv[1])
