"""A stop in the driver: no order of messages, no clock and no silence releases it, only a later
reset does.
"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_msgs.msg import RobotState
from conure_ros.comms.messages import mode_message, to_time
from conure_ros.control.arbiter import Mode
from conure_ros.drivers.stop_latch import StopLatch
from conure_ros.drivers.stop_watch import ASK_AGAIN_S, StopWatch

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


class Node:
    """What a StopWatch needs of its node; `published` counts its stops."""

    active, published = True, 0

    def __init__(self):
        self.publish = lambda message: setattr(self, "published", self.published + 1)
        self.warning = self.error = self.get_logger = lambda *given: self

    def now_ns(self):
        return time.time_ns()

    def create_publisher(self, *given, **named):
        return self

    def create_subscription(self, *given, **named):
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
    watch.stop("the stop topic")
    watch._on_state(moving)
    assert node.published == 0, "control has not had the time to say it"
    for asked in (1, 2):
        now_s += ASK_AGAIN_S + 0.1
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
