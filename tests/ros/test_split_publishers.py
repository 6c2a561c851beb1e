"""Who may publish joint_states beside others: arm and gripper apart may, two of one arm may not."""

from types import SimpleNamespace

import pytest

from conure_ros.comms import sole_publisher
from conure_ros.comms.sole_publisher import APART_S, HEARD_S, SEQUENCE, SplitPublisherWatch

JOINTS = ("waist", "elbow", "finger")
ARM, FINGER, WHOLE, WHEELS = ("waist", "elbow"), ("finger",), JOINTS, ("wheel_1", "wheel_2")
STEP_S = 0.05


class Publishers:
    """Publishers by name, each with its sets of joints and its own count of messages."""

    def __init__(self, monkeypatch, counts=True):
        self.now_s, self.counts = 100.0, counts
        self.sets, self.sent = {}, {}
        monkeypatch.setattr(sole_publisher.time, "monotonic", lambda: self.now_s)
        self.watch = SplitPublisherWatch(self, "joint_states", JOINTS)

    def resolve_topic_name(self, topic):
        return f"/{topic}"

    def count_publishers(self, topic):
        return len(self.sets)

    def get_publishers_info_by_topic(self, topic):
        return [SimpleNamespace(node_namespace="/", node_name=name) for name in self.sets]

    def add(self, name, *sets, sent=0):
        self.sets[name], self.sent[name] = sets, sent

    def run(self, seconds):
        """What was found, at any time."""
        found = ""
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            for name, sets in self.sets.items():
                for joints in sets:
                    self.sent[name] += 1
                    self.watch.note(joints, {SEQUENCE: self.sent[name]} if self.counts else {})
            found = self.watch.duplicates() or found
        return found


@pytest.fixture(params=[True, False], ids=["counted", "Humble"])
def publishers(monkeypatch, request):
    return Publishers(monkeypatch, counts=request.param)


@pytest.mark.parametrize(
    "sets", [[WHOLE], [ARM, FINGER], [ARM, FINGER, WHEELS], [WHOLE, WHEELS], [*zip(JOINTS)]]
)
def test_publishers_with_joints_of_their_own_are_as_good_as_one(publishers, sets):
    for number, joints in enumerate(sets):
        publishers.add(f"driver_{number}", joints)
    assert publishers.run(10.0) == ""


@pytest.mark.parametrize(
    "sets",
    [
        [WHOLE, WHOLE],
        [WHOLE, WHOLE[::-1]],
        [ARM, FINGER, ARM],
        [WHOLE, FINGER],
        [WHOLE, (*FINGER, *WHEELS)],
        [ARM, ARM, WHEELS],
        [WHOLE, ()],
    ],
)
def test_two_publishers_of_one_joint_are_found_and_all_are_named(publishers, sets):
    for number, joints in enumerate(sets):
        publishers.add(f"driver_{number}", *([joints] if joints else []))
    assert publishers.run(APART_S + 2 * STEP_S) == ", ".join(
        f"/driver_{number}" for number in range(len(sets))
    )


def test_two_drivers_that_each_send_arm_and_gripper_apart_are_found_by_their_counts(monkeypatch):
    publishers = Publishers(monkeypatch)
    publishers.add("first", ARM, FINGER, sent=5000)
    assert publishers.run(3.0) == ""
    publishers.add("second", ARM, FINGER)
    assert publishers.run(2 * STEP_S) == "/first, /second"


def test_a_second_driver_is_found_at_once_by_its_counts(monkeypatch):
    publishers = Publishers(monkeypatch)
    publishers.add("first", WHOLE)
    publishers.run(1.0)
    publishers.add("second", WHOLE)
    assert publishers.run(STEP_S) == "/first, /second"


def test_a_driver_that_starts_again_alone_is_no_second_one(publishers):
    publishers.add("driver", WHOLE, sent=5000)
    publishers.run(1.0)
    publishers.sent["driver"] = 0
    assert publishers.run(1.0) == ""


def test_a_publisher_that_falls_silent_is_found_when_it_was_long_not_heard(publishers):
    publishers.add("arm", ARM)
    publishers.add("gripper", FINGER)
    publishers.run(3.0)
    publishers.sets["gripper"] = ()
    assert publishers.run(HEARD_S) == ""
    assert publishers.run(APART_S + 3 * STEP_S) == "/arm, /gripper"
    publishers.sets["gripper"] = (FINGER,)
    publishers.run(STEP_S)
    assert publishers.run(1.0) == ""


def test_a_new_publisher_has_a_moment_for_its_first_message(publishers):
    publishers.add("arm", ARM)
    publishers.run(1.0)
    publishers.add("gripper")
    assert publishers.run(APART_S - STEP_S) == ""
    publishers.sets["gripper"] = (FINGER,)
    assert publishers.run(2.0) == ""
