"""`python -m conure_ros.run MODULE --ros-args ...`: how the starter runs a node, tied to it from the first."""

import ctypes
import os
import signal
import sys
from importlib import import_module

STARTER_VARIABLE = "CONURE_STARTER_PID"
PR_SET_PDEATHSIG = 1


def tie_to_starter() -> None:
    """Die with the process that started this node, however that one dies. Linux; elsewhere nothing happens."""
    starter = os.environ.get(STARTER_VARIABLE, "")
    if not starter or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(starter):
        sys.exit(1)


if __name__ == "__main__":
    tie_to_starter()
    # An interrupt ends a node that is still importing without a traceback; from its start on rclpy handles it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import_module(sys.argv[1]).main()
