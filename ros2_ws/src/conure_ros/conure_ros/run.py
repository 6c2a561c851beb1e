"""`python -m conure_ros.run MODULE --ros-args ...`: how the starter runs a node, tied to it from the first."""

import signal
import sys
from importlib import import_module

from conure_ros.ending import tie_to_starter

if __name__ == "__main__":
    tie_to_starter()
    # An interrupt ends a node that is still importing without a traceback; from its start on the node handles it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import_module(sys.argv[1]).main()
