"""`python -m conure_ros.bringup.node_process MODULE --ros-args ...`: a node that is tied to its
launcher.
"""

import signal
import sys
from importlib import import_module

from conure_ros.comms.ending import tie_to_launcher

if __name__ == "__main__":
    tie_to_launcher()
    # During imports an interrupt ends the process without a traceback; afterwards the node handles
    # it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import_module(sys.argv[1]).main()
