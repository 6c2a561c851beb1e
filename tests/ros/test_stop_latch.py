"""A stop in the driver: no order of messages, no clock and no silence releases it, only a later
reset does.
"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Empty

from conure_msgs.msg import RobotState
from conure_ros.comms.messages import mode_message, to_time
from conure_ros.control.arbiter import Mode
from conure_ros.drivers.stop_latch import StopLatch
from conure_ros.drivers.stop_watch import PUBLISHERS_PERIOD_S, StopWatch

SECOND = 1_000_000_000
TIMES = st.integers(1, 1000)


def latched(at=100, heard=None):
    latch = StopLatch()
    if heard is not None:
        latch.take_state(stopped=False, stamp_ns=heard, reset_ns=heard, now_ns=heard)
    assert latch.stop("the stop topic", at)
    return latch


def test_it_is_open_at_first_and_stays_open_while_control_is_not_stopped():
    latch = StopLatch()
    assert not latch.take_state(stopped=False, stamp_ns=5, reset_ns=0, now_ns=5)
    assert latch.reason == ""


@given(TIMES, TIMES, TIMES)
def test_only_a_reset_later_than_the_stop_releases_it(stop, reset, now):
    latch = latched(at=stop)
    released = latch.take_state(
        stopped=False, stamp_ns=max(now, reset), reset_ns=reset, now_ns=max(stop, now)
    )
    assert released == (reset > stop)
    assert latch.reason == ("" if reset > stop else "the stop topic")


@given(st.lists(st.tuples(st.booleans(), st.booleans(), TIMES), max_size=30))
def test_whatever_is_heard_in_whatever_order_it_is_open_only_if_the_last_stop_is_older_than_a_reset(
    heard,
):
    """Stops on the topic, and states of a control that was last reset then; each at its own time,
    in any order.
    """
    latch, last_stop, stamps = StopLatch(), 0, sorted(time for *_, time in heard)
    for (topic, stopped, reset), now in zip(heard, stamps, strict=True):
        if topic:
            latch.stop("topic", now)
            last_stop = now
        else:
            latch.take_state(stopped, now, min(reset, now), now)
            last_stop = now if stopped else last_stop
        if not latch.reason and last_stop:
            assert not stopped or topic
            assert min(reset, now) > last_stop, "this very message released it, or one before it"
            last_stop = 0


def test_a_state_that_was_sent_before_the_stop_and_comes_after_it_changes_nothing():
    latch = latched(at=100, heard=90)
    assert not latch.take_state(stopped=False, stamp_ns=99, reset_ns=90, now_ns=105)
    assert not latch.take_state(stopped=False, stamp_ns=110, reset_ns=90, now_ns=110), (
        "control never heard of the stop"
    )
    assert latch.reason


def test_a_second_stop_needs_a_reset_of_its_own_and_the_first_reason_stays():
    latch = latched(at=100)
    assert not latch.stop("two publishers", 200)
    assert latch.reason == "the stop topic"
    assert not latch.take_state(stopped=False, stamp_ns=210, reset_ns=150, now_ns=210)
    assert latch.take_state(stopped=False, stamp_ns=230, reset_ns=220, now_ns=230)


def test_control_that_is_stopped_stops_the_driver_without_a_stop_message():
    latch = StopLatch()
    assert latch.take_state(
        stopped=True, stamp_ns=50, reset_ns=40, now_ns=52, why="control (heartbeat)"
    )
    assert latch.reason == "control (heartbeat)"
    assert not latch.take_state(stopped=True, stamp_ns=60, reset_ns=40, now_ns=62), "said once"
    assert not latch.take_state(stopped=False, stamp_ns=70, reset_ns=40, now_ns=72), (
        "deactivated, not reset"
    )
    assert not latch.take_state(stopped=False, stamp_ns=75, reset_ns=0, now_ns=77), (
        "a fresh control"
    )
    assert latch.take_state(stopped=False, stamp_ns=90, reset_ns=80, now_ns=92)


def test_a_clock_of_control_that_is_ahead_lets_no_earlier_reset_pass_for_a_later_one():
    ahead = 5 * SECOND
    latch = latched(at=97 * SECOND, heard=95 * SECOND + ahead)
    assert not latch.take_state(
        stopped=False, stamp_ns=103 * SECOND, reset_ns=95 * SECOND + ahead, now_ns=98 * SECOND
    )
    assert latch.take_state(
        stopped=False, stamp_ns=104 * SECOND, reset_ns=99 * SECOND + ahead, now_ns=99 * SECOND
    )


@pytest.mark.parametrize("stop_again", [False, True])
def test_a_clock_that_was_set_back_neither_releases_the_stop_nor_locks_it_for_ever(stop_again):
    latch = latched(at=600 * SECOND, heard=500 * SECOND)
    if stop_again:
        latch.stop("again", 3 * SECOND)
    assert not latch.take_state(
        stopped=False, stamp_ns=4 * SECOND, reset_ns=500 * SECOND, now_ns=4 * SECOND
    )
    assert latch.reason
    assert latch.take_state(
        stopped=False, stamp_ns=6 * SECOND, reset_ns=5 * SECOND, now_ns=6 * SECOND
    )


def test_a_state_of_before_the_clock_was_set_back_that_comes_after_it_locks_nothing():
    latch = StopLatch()
    latch.take_state(stopped=False, stamp_ns=3700 * SECOND, reset_ns=0, now_ns=3700 * SECOND)
    latch.stop("the stop topic", 100 * SECOND)
    latch.take_state(stopped=True, stamp_ns=3700 * SECOND, reset_ns=0, now_ns=100 * SECOND + 1)
    reset_ns = 101 * SECOND
    assert latch.take_state(stopped=False, stamp_ns=reset_ns, reset_ns=reset_ns, now_ns=reset_ns)


def test_the_first_reason_stays_and_an_open_latch_is_not_opened_again():
    latch = StopLatch()
    reset = {"stopped": False, "stamp_ns": 5 * SECOND, "reset_ns": 5 * SECOND}
    assert not latch.take_state(**reset, now_ns=5 * SECOND), "nothing changed"
    latch.stop("a key", 6 * SECOND)
    assert not latch.stop("the stop topic", 7 * SECOND)
    assert not latch.take_state(True, 7 * SECOND, 5 * SECOND, 7 * SECOND, "control")
    assert latch.reason == "a key"


def test_a_stop_after_the_clock_was_set_back_counts_from_the_new_time():
    latch = StopLatch()
    latch.stop("the stop topic", 3700 * SECOND)
    latch.stop("the stop topic", 100 * SECOND)
    reset_ns = 101 * SECOND
    assert latch.take_state(False, reset_ns, reset_ns, now_ns=reset_ns + SECOND // 100)


def test_a_clock_that_trembles_lets_no_reset_of_before_the_stop_end_it():
    latch, now_ns = StopLatch(), 100 * SECOND
    latch.stop("the stop topic", now_ns)
    reset_ns = now_ns - SECOND // 50
    assert not latch.take_state(False, reset_ns, reset_ns, now_ns=now_ns - SECOND // 20)
    assert latch.reason


class Node:
    """What a StopWatch needs of its node; `published` counts its stops."""

    active, published, errors = True, 0, 0

    def __init__(self):
        self.subscribed = {}
        self.publish = lambda message: setattr(self, "published", self.published + 1)
        self.error = lambda text: setattr(self, "errors", self.errors + 1)
        self.warning = self.get_logger = lambda *given: self

    def now_ns(self):
        return time.time_ns()

    def create_publisher(self, *given, **named):
        return self

    def create_subscription(self, kind, topic, callback, *given, **named):
        self.subscribed[topic] = callback
        return self

    def resolve_topic_name(self, topic):
        return topic


def test_a_driver_asks_until_control_says_that_it_is_stopped_too(monkeypatch):
    """A stop may come to a suspended control seconds later, or never to one that starts again."""
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    node = Node()
    watch = StopWatch(node, lambda reason: None)
    moving, stopped = RobotState(mode=mode_message(Mode.POLICY)), RobotState(stopped=True)
    watch._on_state(moving)
    now_s += 5.0
    watch._on_state(moving)
    now_s += 5.0
    watch.stop("the stop topic")
    watch._on_state(moving)
    assert node.published == 0, "control has not had the time to say it"
    for asked in (1, 2):
        now_s += 0.2
        watch._on_state(moving)
        assert node.published == asked - 1, "not so soon"
        now_s += 0.2
        watch._on_state(moving)
        watch._on_state(moving)
        assert node.published == asked
    now_s += 5.0
    watch._on_state(stopped)
    watch._on_state(moving)
    assert node.published == 2, "it said so"
    reset = RobotState(reset_stamp=to_time(time.time_ns() + SECOND))
    watch._on_state(reset)
    now_s += 5.0
    watch._on_state(reset)
    assert (node.published, watch.reason) == (2, "")


def test_two_that_command_the_arm_stop_everybody_and_are_named_at_each_change(monkeypatch):
    node, changes = Node(), []
    watch, names = StopWatch(node, changes.append), ""
    monkeypatch.setattr(watch._commands, "duplicates", lambda: names)
    assert watch.admits() and not node.published

    names = "/control, /rival"
    node.active = False
    assert watch.admits() and not node.published, "a driver that is not active follows nobody"
    node.active = True
    assert not watch.admits() and not watch.admits()
    assert node.published == 1 and node.errors == 1, "once, not at every look"
    assert names in watch.reason and "reset_stop" in watch.reason
    assert changes == [watch.reason]

    names = "/control, /another"
    assert not watch.admits() and (node.published, node.errors) == (2, 2)
    reset_ns = time.time_ns() + SECOND
    watch._on_state(RobotState(reset_stamp=to_time(reset_ns)))
    assert changes[1:] == [""], "a person reset it"
    assert not watch.admits() and node.published == 3, "and they are still two"
    names = ""
    assert not watch.admits() and node.published == 3, "their end alone resets nothing"


def test_control_that_is_stopped_stops_the_driver_with_its_reason(monkeypatch):
    node, changes = Node(), []
    watch = StopWatch(node, changes.append)
    said = RobotState(stopped=True, reason="a key", reset_stamp=to_time(1))
    said.header.stamp = to_time(time.time_ns())
    node.subscribed["robot_state"](said)
    watch._on_state(said)
    assert changes == ["control (a key)"] and not node.published
    assert StopWatch(Node(), changes.append).reason == ""
    watch = StopWatch(node, changes.append)
    watch._on_state(RobotState(stopped=True))
    assert watch.reason == "control"


def test_a_message_on_the_stop_topic_stops_the_driver():
    node, changes = Node(), []
    watch = StopWatch(node, changes.append)
    node.subscribed["stop"](Empty())
    assert changes == [watch.reason] == ["the stop topic"]


def test_publishers_are_counted_often():
    assert 0.0 < PUBLISHERS_PERIOD_S <= 0.05
