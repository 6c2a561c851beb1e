"""A topic that only one process may publish, claimed by processes that have just begun."""

import contextlib
import subprocess
import sys
import time

import pytest

CLAIMANT = """
import sys
from std_msgs.msg import Empty
from conure_core.errors import RobotError
from conure_ros.comms.sole_publisher import SolePublisher
from conure_ros.comms.qos import NEWEST
from conure_ros.comms.lifecycle import ManagedNode, ros_context
with ros_context():
    node = ManagedNode(sys.argv[1])
    publisher = SolePublisher(node, Empty, "sole", NEWEST)
    try:
        publisher.claim()
    except RobotError as error:
        sys.exit(str(error))
    print("claimed", flush=True)
    sys.stdin.read()
"""
ANNOUNCED_S = 3.0
"""How often FastDDS says that a process is there, unless a profile tells it otherwise."""


@pytest.mark.nodes
def test_whoever_begins_later_sees_the_one_that_claimed_the_topic_whenever_that_was_announced_last(
    domain,
):
    words = [sys.executable, "-c", CLAIMANT]
    with contextlib.ExitStack() as stack:

        def begin(name):
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            process = stack.enter_context(
                subprocess.Popen([*words, name], env=domain, text=True, **pipes)
            )
            stack.callback(process.kill)
            return process

        first = begin("first")
        assert first.stdout.readline() == "claimed\n"
        later = []
        for number in range(4):
            later.append(begin(f"later_{number}"))
            time.sleep(ANNOUNCED_S / 4)
        for process in later:
            said, refused = process.communicate("")
            assert said == ""
            assert "node /first publishes /sole already" in refused
        assert first.poll() is None
