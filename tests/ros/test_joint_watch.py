"""Which samples of joint_states are believed, for how long, and when they show an arm at rest."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import RobotError, StaleInput, UnsafeCommand
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_ros.comms.messages import JointPart, JointSample
from conure_ros.control.joint_watch import JointHistory, JointWatch

ROBOT = load_robot("wx250s")
ARM = Arm(ROBOT)
HOME = np.array(ROBOT.home_rad)
STALE_S = 0.185
SPEED_RAD_S = 2.0 * ARM.velocity_limit_rad_s[0]
NOISE_RAD = 0.05
WAIST = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
GRIPPER = 6
NAME = ROBOT.gripper_joint


class Arms:
    """Samples at times, in seconds from the beginning; both clocks run alike unless the test says
    otherwise.
    """

    def __init__(self, arm=ARM, stale_s=STALE_S, settled=True):
        self.watch = JointWatch(arm, stale_s)
        if settled:
            self.watch.settle()

    def take(self, at_s, way_rad=0.0, stamp_s=None, joint_rad=None, gripper_m=ROBOT.gripper_open_m):
        stamp_ns = 10**12 + round((at_s if stamp_s is None else stamp_s) * 1e9)
        joint_rad = HOME + way_rad * WAIST if joint_rad is None else joint_rad
        sample = JointSample(stamp_ns, joint_rad, gripper_m)
        self.watch.take(sample.part, 50.0 + at_s, 10**12 + round(at_s * 1e9))

    def take_part(self, at_s, *places, way_rad=0.0, stamp_s=None):
        """Only these joints, by their places; the last one is the gripper."""
        stamp_ns = 10**12 + round((at_s if stamp_s is None else stamp_s) * 1e9)
        pose = np.append(HOME + way_rad * WAIST, ROBOT.gripper_open_m)
        part = JointPart(stamp_ns, np.array(places), pose[list(places)])
        self.watch.take(part, 50.0 + at_s, 10**12 + round(at_s * 1e9))

    def take_arm(self, at_s, way_rad=0.0, **words):
        self.take_part(at_s, *range(6), way_rad=way_rad, **words)

    def take_gripper(self, at_s, **words):
        self.take_part(at_s, GRIPPER, **words)

    def rests(self, at_s):
        try:
            self.watch.at_rest(50.0 + at_s)
        except RobotError:
            return False
        return True

    def present(self, at_s):
        return self.watch.present(50.0 + at_s)

    @property
    def fault(self):
        return self.watch.fault


@pytest.fixture
def arms():
    return Arms()


def refused(take, error=UnsafeCommand):
    with pytest.raises(error) as caught:
        take()
    return str(caught.value)


# Before anything is measured.


def test_before_the_first_sample_there_is_none_and_that_is_said(arms):
    for ask in (arms.present, lambda at_s: arms.watch.at_rest(50.0 + at_s)):
        with pytest.raises(RobotError, match="waiting for joint_states"):
            ask(0.0)
    assert arms.fault == "waiting for joint_states"
    assert arms.watch.age_s(50.0) == np.inf


def test_the_first_sample_may_be_anywhere_the_arm_can_be(arms):
    arms.take(0.0, 1.0)
    assert arms.present(0.0).joint_rad[0] == 1.0
    assert arms.fault == ""


# Possible or not.


@given(st.floats(0.005, 1.0), st.sampled_from([-1.0, 1.0]), st.floats(-0.02, 0.02))
def test_a_joint_may_move_at_twice_its_speed_limit_and_a_little_noise_not_farther(
    gap_s, direction, more_rad
):
    arms = Arms()
    arms.take(0.0)
    farthest_rad = min(SPEED_RAD_S * gap_s + NOISE_RAD, 2.0)
    way_rad = direction * (farthest_rad + more_rad)
    if more_rad > 1e-6 and farthest_rad < 2.0:
        text = refused(lambda: arms.take(gap_s, way_rad))
        assert "'waist' moved" in text and text == arms.fault
        assert refused(lambda: arms.present(gap_s), RobotError) == text
    elif more_rad < -1e-6:
        arms.take(gap_s, way_rad)
        assert arms.fault == ""


def test_the_joint_that_moved_too_far_is_named_even_if_a_faster_one_moved_farther():
    arm = copy.copy(ARM)
    arm.velocity_limit_rad_s = np.array([10.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    arms = Arms(arm)
    arms.take(0.0)
    text = refused(lambda: arms.take(0.02, joint_rad=HOME + [0.3, 0.2, 0.0, 0.0, 0.0, 0.0]))
    assert "'shoulder' moved 0.20 rad in 0.020 s, and can move 0.09" in text


@pytest.mark.parametrize("limit_rad_s", [0.0, np.inf, np.nan, -1.0, 25.0])
def test_a_joint_without_a_speed_limit_that_makes_sense_has_one_all_the_same(limit_rad_s):
    arm = copy.copy(ARM)
    arm.velocity_limit_rad_s = np.array([limit_rad_s, *ARM.velocity_limit_rad_s[1:]])
    arms = Arms(arm)
    arms.take(0.0)
    arms.take(0.02, 0.84)
    refused(lambda: arms.take(0.04, -0.02))


def test_a_limit_below_that_counts_as_it_is():
    arm = copy.copy(ARM)
    arm.velocity_limit_rad_s = np.array([19.0, *ARM.velocity_limit_rad_s[1:]])
    arms = Arms(arm)
    arms.take(0.0)
    refused(lambda: arms.take(0.02, 0.82))


def test_wrong_samples_are_no_time_in_which_the_arm_may_have_moved(arms):
    arms.take(0.0)
    for at_s in np.arange(0.01, 1.0, 0.01):
        text = refused(lambda at_s=at_s: arms.take(at_s, 1.5))
    assert "in 0.040 s" in text, "one gap and the time of a glitch, however long it lasts"
    assert arms.rests(1.0) is False


def test_the_arm_where_it_was_again_ends_the_fault(arms):
    arms.take(0.0)
    refused(lambda: arms.take(0.01, 1.5))
    arms.take(0.02, 0.01)
    assert arms.fault == "" and arms.present(0.02).joint_rad[0] == 0.01
    arms.take(0.03, 0.02 + 0.01 * SPEED_RAD_S)
    assert arms.fault == ""


def test_from_a_new_beginning_on_the_next_sample_may_be_elsewhere(arms):
    for step in range(5):
        arms.take(0.01 * step)
    assert arms.rests(0.04)
    arms.watch.reset()
    assert arms.fault == "waiting for joint_states"
    assert not arms.rests(0.04)
    arms.take(0.05, 1.5)
    assert arms.present(0.05).joint_rad[0] == 1.5
    assert not arms.rests(0.05), "one sample is no arm at rest"


def test_what_was_measured_before_a_new_beginning_shows_no_arm_at_rest(arms):
    for step in range(5):
        arms.take(0.01 * step)
    arms.watch.reset()
    for step in range(5, 9):
        arms.take(0.01 * step)
        assert not arms.rests(0.01 * step)
    arms.take(0.09)
    assert arms.rests(0.09)


@pytest.mark.parametrize("value", [np.nan, np.inf, 4.0, -1e308])
def test_a_pose_that_cannot_be_is_refused_by_name(arms, value):
    assert "'waist' reads" in refused(lambda: arms.take(0.0, joint_rad=np.append(value, HOME[1:])))
    assert "'waist' reads" in arms.fault
    refused(lambda: arms.present(0.0), RobotError)


def test_a_gripper_that_cannot_be_is_refused_by_name(arms):
    assert f"'{ROBOT.gripper_joint}' reads" in refused(lambda: arms.take(0.0, gripper_m=1.0))


def test_a_message_that_was_no_sample_is_a_fault_until_the_next_good_one_and_ends_the_row(arms):
    for step in range(5):
        arms.take(0.01 * step)
    arms.watch.refuse("joint_states lack 'elbow'")
    assert refused(lambda: arms.present(0.04), RobotError) == "joint_states lack 'elbow'"
    arms.take(0.05)
    assert arms.fault == "" and not arms.rests(0.05)


# Stamps and ages.


@pytest.mark.parametrize("stamp_ns", [0, -5])
def test_a_sample_without_a_stamp_is_refused(arms, stamp_ns):
    sample = JointSample(stamp_ns, HOME, ROBOT.gripper_open_m)
    assert "no stamp" in refused(lambda: arms.watch.take(sample.part, 50.0, 0), RobotError)
    arms.watch.take(JointSample(1, HOME, ROBOT.gripper_open_m).part, 50.0, 0)
    assert arms.fault == "" and arms.watch.age_s(50.0) == 0.0


def test_stamps_may_be_fifty_milliseconds_ahead_and_as_old_as_is_stale(arms):
    arms.take(0.0, stamp_s=0.049)
    assert "0.05 s in the future" in refused(lambda: arms.take(0.0, stamp_s=0.0515), StaleInput)
    arms.take(0.2, stamp_s=0.2 - STALE_S + 0.001)
    assert "old when they came" in refused(
        lambda: arms.take(0.2, stamp_s=0.2 - STALE_S - 0.001), StaleInput
    )
    assert arms.fault


def test_a_sample_counts_until_it_is_stale_by_steady_time(arms):
    arms.take(0.0)
    assert arms.present(STALE_S - 0.001).stamp_ns == 10**12
    assert "joint_states are 0.19 s old" in refused(
        lambda: arms.present(STALE_S + 0.001), StaleInput
    )


def test_samples_with_one_stamp_are_one_sample_and_grow_old(arms):
    arms.take(0.0)
    for at_s in np.arange(0.01, 0.18, 0.01):
        arms.take(at_s, stamp_s=0.0)
    assert arms.watch.age_s(50.17) == pytest.approx(0.17)
    assert not arms.rests(0.17), "they show no arm at rest"
    refused(lambda: arms.present(0.19), StaleInput)
    arms.take(0.19)
    assert arms.watch.age_s(50.19) == pytest.approx(0.0)


# At rest.


def test_five_samples_in_a_row_show_an_arm_at_rest_and_the_newest_is_given(arms):
    for step in range(4):
        arms.take(0.01 * step)
        assert "waiting for 5 joint_states in a row" in refused(
            lambda step=step: arms.watch.at_rest(50.0 + 0.01 * step), RobotError
        )
    arms.take(0.04, 0.009)
    assert arms.watch.at_rest(50.04).joint_rad[0] == 0.009


@pytest.mark.parametrize(
    ("apart_rad", "rests"), [(0.0095, True), (0.0105, False), (-0.0095, True), (-0.0105, False)]
)
def test_an_arm_rests_if_no_joint_moved_by_more_than_a_hundredth(arms, apart_rad, rests):
    for step in range(5):
        arms.take(0.01 * step, apart_rad * step / 4)
    assert arms.rests(0.04) == rests
    if not rests:
        text = refused(lambda: arms.watch.at_rest(50.04), RobotError)
        assert "'waist' moves, 0.01" in text


def test_any_joint_that_moves_is_named(arms):
    for step in range(5):
        arms.take(0.01 * step, joint_rad=HOME + [0.001 * step, 0.0, 0.01 * step, 0.0, 0.0, 0.0])
    assert "'elbow' moves, 0.040 rad" in refused(lambda: arms.watch.at_rest(50.04), RobotError)


def test_an_arm_that_moved_before_rests_when_the_last_five_agree(arms):
    for step in range(10):
        arms.take(0.01 * step, 0.02 * min(step, 5))
    assert arms.rests(0.09)


@pytest.mark.parametrize(("apart_s", "rests"), [(0.0041, False), (0.0079, False), (0.0081, True)])
def test_a_fast_driver_shows_an_arm_at_rest_no_sooner(arms, apart_s, rests):
    for step in range(5):
        arms.take(apart_s * step)
    assert arms.rests(apart_s * 4) == rests


def test_of_a_fast_driver_every_second_sample_counts(arms):
    for step in range(9):
        assert not arms.rests(0.0041 * step)
        arms.take(0.0041 * step)
    assert arms.rests(0.0041 * 8)


def test_what_came_too_soon_is_not_counted_by_its_repetition(arms):
    for step in range(4):
        arms.take(0.01 * step)
        arms.take(0.01 * step + 0.004)
        arms.take(0.01 * step + 0.009, stamp_s=0.01 * step + 0.004)
    assert not arms.rests(0.039), "four samples are far enough apart"


@pytest.mark.parametrize(("apart_s", "rests"), [(0.24, True), (0.26, False)])
def test_what_lies_longer_back_than_a_second_shows_nothing(apart_s, rests):
    arms = Arms(stale_s=2.0)
    for step in range(5):
        arms.take(apart_s * step)
    assert arms.rests(apart_s * 4) == rests


def test_an_arm_at_rest_whose_samples_are_stale_or_wrong_is_none(arms):
    for step in range(5):
        arms.take(0.01 * step)
    assert arms.rests(0.04)
    assert not arms.rests(0.3)
    refused(lambda: arms.take(0.05, 1.5))
    assert not arms.rests(0.05)
    arms.take(0.06)
    assert not arms.rests(0.06), "the row begins anew"


@pytest.mark.parametrize("anew", [False, True])
def test_before_control_starts_a_leap_is_no_fault_but_begins_the_row_again(anew):
    """A late sample of before a new scene is one; and a wrong one is never what control starts
    from.
    """
    arms = Arms(settled=anew)
    if anew:
        arms.watch.reset()
    for step in range(4):
        arms.take(0.01 * step, 1.5)
    arms.take(0.04)
    assert arms.fault == ""
    for step in range(5, 8):
        arms.take(0.01 * step)
        assert not arms.rests(0.01 * step)
    arms.take(0.08)
    assert arms.rests(0.08)
    arms.watch.settle()
    assert "'waist' moved" in refused(lambda: arms.take(0.09, 1.5))


def test_a_leap_right_after_samples_of_rest_is_no_arm_at_rest():
    arms = Arms(settled=False)
    for step in range(5):
        arms.take(0.01 * step)
    assert arms.rests(0.04)
    arms.take(0.044, 1.5)
    assert not arms.rests(0.044)


# Arm and gripper apart.


def apart(arms, seconds, began_s=0.0, rate_s=0.01, gripper_every=1):
    """Both at rest, the gripper half a period after the arm."""
    for step in range(round(seconds / rate_s)):
        at_s = began_s + rate_s * step
        arms.take_arm(at_s)
        if step % gripper_every == 0:
            arms.take_gripper(at_s + rate_s / 2)


def test_an_arm_and_a_gripper_that_come_apart_are_one_pose(arms):
    arms.take_arm(0.0, 0.3)
    assert arms.fault.startswith(f"joint_states lacks '{NAME}'; it has: waist")
    arms.take_gripper(0.004)
    assert arms.fault == ""
    sample = arms.present(0.004)
    assert sample.joint_rad[0] == pytest.approx(0.3) and sample.gripper_m == ROBOT.gripper_open_m
    assert sample.stamp_ns == 10**12, "as old as its oldest joint"


def test_every_joint_may_come_by_itself(arms):
    for place in range(7):
        assert arms.fault
        arms.take_part(0.001 * place, place)
    assert arms.fault == ""


def test_a_pose_is_as_old_as_its_oldest_joint_and_that_joint_is_named(arms):
    arms.take_arm(0.0)
    arms.take_gripper(0.0)
    for at_s in np.arange(0.01, 0.3, 0.01):
        arms.take_arm(at_s)
        assert arms.watch.age_s(50.0 + at_s) == pytest.approx(at_s)
    text = refused(lambda: arms.present(0.29), StaleInput)
    assert text == f"joint_states of '{NAME}' are 0.29 s old (limit 0.18 s)"
    assert "joint_states are" in refused(lambda: arms.present(0.6), StaleInput)
    arms.take_gripper(0.3)
    assert arms.watch.age_s(50.3) == pytest.approx(0.01)


def test_a_gripper_that_is_measured_seldom_makes_no_joint_of_the_arm_older(arms):
    assert (arms.watch.arm_ages_s(50.0) == np.inf).all()
    arms.take_gripper(0.0)
    arms.take_part(0.0, 0, 1, 2)
    arms.take_part(0.05, 3, 4, 5)
    assert arms.watch.arm_ages_s(50.07) == pytest.approx([0.07] * 3 + [0.02] * 3)
    assert (arms.watch.arm_ages_s(50.0) >= 0.0).all(), (
        "the steady clock is read once more meanwhile"
    )


def test_a_good_message_of_one_part_does_not_end_the_fault_of_another(arms):
    apart(arms, 0.05)
    text = refused(lambda: arms.take_arm(0.05, 1.5))
    arms.take_gripper(0.055)
    assert arms.fault == text and "'waist' moved 1.50 rad" in text
    assert refused(lambda: arms.present(0.055), RobotError) == text
    arms.take_arm(0.06)
    assert arms.fault == ""


def test_a_joint_may_move_in_the_time_since_it_was_measured_and_not_since_the_last_message(arms):
    """A gripper that is measured often gives the arm neither more nor less time."""
    apart(arms, 0.02)
    for at_s in np.arange(0.02, 0.12, 0.002):
        arms.take_gripper(at_s)
    arms.take_arm(0.12, SPEED_RAD_S * 0.1)
    assert arms.fault == ""
    for at_s in np.arange(0.122, 0.14, 0.002):
        arms.take_gripper(at_s)
    text = refused(lambda: arms.take_arm(0.14, SPEED_RAD_S * 0.1 + SPEED_RAD_S * 0.02 + 0.06))
    assert "in 0.020 s" in text


def test_a_gripper_alone_shows_no_arm_at_rest(arms):
    arms.take_arm(0.0)
    for step in range(12):
        arms.take_gripper(0.01 * step)
    assert arms.present(0.11)
    assert not arms.rests(0.11), "the arm was measured once"


def test_an_arm_alone_shows_no_arm_at_rest_either(arms):
    arms.take_gripper(0.0)
    for step in range(12):
        arms.take_arm(0.01 * step)
    assert not arms.rests(0.11)


@pytest.mark.parametrize("every", [1, 3])
def test_both_measured_anew_five_times_show_an_arm_at_rest(every):
    arms = Arms()
    apart(arms, 0.01 * every * 4, gripper_every=every)
    assert not arms.rests(0.01 * every * 4)
    apart(arms, 0.01, began_s=0.01 * every * 4)
    assert arms.rests(0.01 * every * 4 + 0.005)


def test_an_arm_that_moves_between_the_grippers_messages_does_not_rest(arms):
    for step in range(40):
        arms.take_arm(0.01 * step, 0.005 * step)
        if step % 4 == 0:
            arms.take_gripper(0.01 * step)
    assert "'waist' moves" in refused(lambda: arms.watch.at_rest(50.39), RobotError)


def test_after_a_new_beginning_both_must_come_anew(arms):
    apart(arms, 0.1)
    arms.watch.reset()
    arms.take_arm(0.1)
    assert NAME in arms.fault and not arms.rests(0.1)
    arms.take_gripper(0.105)
    assert arms.fault == "" and not arms.rests(0.105)
    apart(arms, 0.05, began_s=0.11)
    assert arms.rests(0.16)


def test_no_part_of_before_a_new_beginning_counts_after_it(arms):
    near, far = (0, 1, 2), (3, 4, 5, GRIPPER)
    arms.take_part(0.0, *near)
    arms.take_part(0.001, *far)
    arms.take_part(0.011, *far)
    arms.watch.reset()
    for step in range(5):
        if step:
            arms.take_part(0.02 * step + 0.01, *far)
        arms.take_part(0.02 * step + 0.02, *near)
        assert not arms.rests(0.02 * step + 0.02)
    arms.take_part(0.11, *far)
    assert arms.rests(0.11)


def test_a_joint_that_came_with_the_others_and_is_missing_is_named_at_once(arms):
    arms.take(0.0)
    text = refused(lambda: arms.take_part(0.01, 0, 2, 3, 4, 5, GRIPPER), RobotError)
    assert text.startswith("joint_states lacks 'shoulder'; it has: waist, elbow")
    arms.take_part(0.02, 0, 2, 3, 4, 5, GRIPPER)
    assert arms.fault == text, "until it comes again"
    arms.take(0.03)
    assert arms.fault == ""


def test_a_driver_that_is_split_while_it_runs_is_heard_when_all_its_parts_are(arms):
    arms.take(0.0)
    refused(lambda: arms.take_arm(0.01), RobotError)
    arms.take_gripper(0.015)
    assert arms.fault == ""
    apart(arms, 0.1, began_s=0.02)
    assert arms.rests(0.12)


@pytest.mark.parametrize("names", [["wheel_left"], []])
def test_messages_of_another_machine_change_nothing(arms, names):
    apart(arms, 0.05)
    arms.watch.ignore(names)
    assert arms.fault == "" and arms.rests(0.05)


def test_of_a_machine_with_many_joints_twelve_are_named(arms):
    arms.watch.ignore([f"joint_{number}" for number in range(13)])
    assert arms.fault.endswith(", joint_11")


def test_an_arm_with_other_names_is_told_which_it_has(arms):
    arms.watch.ignore(["joint_1", "joint_2"])
    assert "waiting for joint_states of 'waist', " in arms.fault
    assert arms.fault.endswith("; they have: joint_1, joint_2")


@pytest.mark.parametrize("places", [range(6), [GRIPPER]])
def test_a_part_without_a_stamp_is_refused_and_the_other_one_is_good(arms, places):
    apart(arms, 0.05)
    pose = np.append(HOME, ROBOT.gripper_open_m)
    part = JointPart(0, np.array(places), pose[list(places)])
    text = refused(lambda: arms.watch.take(part, 50.05, 10**12 + 50_000_000), RobotError)
    assert text == arms.fault and "set the driver to stamp them" in text


def test_what_is_wrong_is_said_before_what_is_missing(arms):
    refused(lambda: arms.take_arm(1.0, stamp_s=0.0), StaleInput)
    assert "old when they came" in arms.fault, "the gripper has not come yet"
    arms.take_arm(1.01)
    refused(lambda: arms.take_gripper(1.01, stamp_s=0.0), StaleInput)
    arms.watch.reset()
    assert arms.fault == "waiting for joint_states"


def test_a_part_that_is_old_or_of_the_future_is_refused(arms):
    apart(arms, 0.05)
    refused(lambda: arms.take_gripper(0.3, stamp_s=0.1), StaleInput)
    refused(lambda: arms.take_arm(0.3, stamp_s=0.4), StaleInput)


def test_a_part_that_cannot_be_is_refused_by_name(arms):
    text = refused(lambda: arms.take_part(0.0, 0, 1, way_rad=9.0))
    assert "'waist' reads" in text and "shoulder" not in text


# The pose at a moment.


def history(*parts):
    kept = JointHistory(ROBOT)
    pose = np.append(HOME, ROBOT.gripper_open_m)
    for stamp_ns, places, shift in parts:
        kept.add(JointPart(stamp_ns, np.array(places), pose[list(places)] + shift))
    return kept


ARMS_JOINTS, FINGER = list(range(6)), [GRIPPER]


def test_the_pose_at_a_moment_has_of_each_part_what_was_measured_nearest():
    kept = history(
        (100, ARMS_JOINTS, 0.0),
        (200, ARMS_JOINTS, 0.1),
        (150, FINGER, 0.0),
        (190, FINGER, 0.01),
        (300, ARMS_JOINTS, 0.2),
    )
    sample, apart_s = kept.nearest(210)
    assert sample.joint_rad == pytest.approx(HOME + 0.1)
    assert sample.gripper_m == pytest.approx(ROBOT.gripper_open_m + 0.01)
    assert (sample.stamp_ns, apart_s) == (190, pytest.approx(20e-9)), "that of the farthest"


def test_a_pose_lacks_nothing_or_is_none():
    assert history((100, ARMS_JOINTS, 0.0)).nearest(100) == (None, np.inf)
    assert history().nearest(100) == (None, np.inf)


def test_a_joint_in_two_messages_is_taken_from_the_nearer_one():
    whole = [*ARMS_JOINTS, GRIPPER]
    kept = history((100, whole, 0.0), (140, FINGER, 0.01))
    assert kept.nearest(150)[0].gripper_m == pytest.approx(ROBOT.gripper_open_m + 0.01)
    assert kept.nearest(90)[0].gripper_m == pytest.approx(ROBOT.gripper_open_m)


def test_the_history_forgets_what_is_long_past():
    kept = JointHistory(ROBOT, length=3)
    for stamp_ns in range(1, 11):
        kept.add(JointSample(stamp_ns, HOME + stamp_ns, 0.0).part)
    sample, _ = kept.nearest(1)
    assert sample.stamp_ns == 8


def test_what_has_no_stamp_is_near_no_moment():
    with pytest.raises(RobotError, match="set the driver to stamp them"):
        history((0, ARMS_JOINTS, 0.0))
