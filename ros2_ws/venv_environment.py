"""Lets every Python started from this virtual environment find the ROS packages in it.

`make setup` copies this file into the environment as `conure_environment.py`, with a .pth file that
imports it, so that no script has to be sourced. Its .pth sorts before the one of the ROS wheels,
which starts Python anew once with LD_LIBRARY_PATH set; with a ROS installed on the machine there
are no such wheels and this module does that itself.
"""

import os
import sys

WHEELS_GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"


def prepend(variable, path):
    """True if the path was not yet among those of the environment variable."""
    paths = [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry]
    if path in paths:
        return False
    os.environ[variable] = os.pathsep.join([path, *paths])
    return True


def find_packages(prefix):
    """Put this environment's packages and libraries before those of an installed ROS."""
    prepend("AMENT_PREFIX_PATH", prefix)
    libraries = os.path.join(prefix, "lib")
    if os.path.isdir(os.path.join(os.path.dirname(__file__), "ros_wheels_bootstrapper")):
        if libraries not in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
            os.environ.pop(WHEELS_GUARD, None)  # inherited from a process of another environment
    elif prepend("LD_LIBRARY_PATH", libraries):  # the loader reads it only when a process starts
        os.execve(sys.executable, sys.orig_argv, os.environ)


find_packages(sys.prefix)
