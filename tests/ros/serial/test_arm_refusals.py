"""What the driver refuses to move, or to believe, over real serial bytes: positions, limits and
leftovers of servos.
"""

import os
import signal
import threading
import time

import numpy as np
import pytest

from conure_core.control.safety import JointCommand
from conure_core.errors import RobotError
from conure_core.servos.bus_config import load_bus
from conure_ros.drivers.arm_loop import State
from conure_ros.drivers.port import PortLost

pytestmark = pytest.mark.nodes

WRIST, WAIST, FINGER = 7, 1, 9
BELOW_ZERO_RAD = 1.76  # of the wrist's angle, a little beyond its range; its zero is then put where that is below 0
TORQUE_ANSWERS_S = 2.0


@pytest.fixture
def askew(rig):
    """Mounts horns askew; straight again in the end."""
    shifted = []

    def shift(servo_id, counts, **words):
        shifted.append(servo_id)
        rig.ask("servo", servo_id=servo_id, shift_counts=counts, **words)

    yield shift
    for servo_id in shifted:
        rig.ask("servo", servo_id=servo_id, shift_counts=0)


def reads(rig, servo_id, counts):
    """By how much a horn must be askew for the register to read so."""
    with rig.loop.lock:
        return counts - rig.loop.servos.bus.read(servo_id, "present_position")


def test_a_joint_that_reads_far_outside_its_range_is_refused_by_name_and_moves_nothing(rig, askew):
    shift = reads(rig, WRIST, 4090)
    rig.close()
    askew(WRIST, shift, registers={"torque_enable": 1})
    before = rig.true_rad()
    # A limp wrist sags a little until its servo is asked to hold.
    says = r"wrist_angle \(servo 7\) reads (39|40)\d\d counts, -[23]\..*outside the joint's range.*by hand"
    with pytest.raises(RobotError, match=says):
        rig.open()
    rig.simulate(0.3)
    assert np.abs(rig.true_rad() - before).max() < 0.01


def test_a_joint_that_is_moved_outside_its_range_after_configure_is_refused_at_activation(
    rig, askew
):
    """Its turn is known then, as it was read all the time."""
    rig.loop.disarm()
    askew(WRIST, reads(rig, WRIST, 3800))  # less than half a turn away
    rig.simulate(0.2)
    with pytest.raises(RobotError, match=r"'wrist_angle' reads -2.*expected -2.347 to \+1.945"):
        rig.loop.arm()
    assert rig.loop.state is State.READY


def test_a_reading_that_two_turns_would_explain_is_refused_and_both_are_named(rig, askew):
    askew(WAIST, reads(rig, WAIST, 4090))
    rig.close()
    with pytest.raises(
        RobotError, match=r"waist \(servo 1\) reads 4090 counts.*\+3\.1\d+ rad or|or \+3\.1\d+ rad"
    ):
        rig.open()


def test_a_joint_below_count_0_is_read_on_the_turn_of_its_range_and_never_driven_the_long_way(
    rig, askew, tmp_path
):
    zero = 2048 - 920
    low = rig.variant(tmp_path, lambda servos, bus: servos[WRIST].update(zero_counts=zero))
    rig.close()
    rig.ask("place", positions={"wrist_angle": BELOW_ZERO_RAD})
    rig.simulate(0.2)
    # A horn that suits this zero. The servo holds again, and has forgotten its turns.
    askew(WRIST, -920, registers={"torque_enable": 1})
    loop = rig.open(low)
    with loop.lock:
        raw = loop.servos.bus.read(WRIST, "present_position")
        counts = loop.servos._unwrapped()[load_bus(low).ids.index(WRIST)]
    assert raw > 4000 and abs(counts - (raw - 4096)) <= 1, "just below 0; read one after the other"
    assert loop.measured.positions[4] == pytest.approx(rig.true_rad()[4], abs=0.01)
    if rig.family == "feetech_sts":
        with pytest.raises(
            RobotError, match=r"wrist_angle \(servo 7\) stands at -\d+ counts.*0 and 4095 only"
        ):
            loop.arm()
        return
    loop.arm()
    goal = rig.true_rad() - [0, 0, 0, 0, 0.3, 0]
    seen = [rig.true_rad()[4]]
    for _ in range(10):
        loop.command(JointCommand(goal, 0.03, 0.075))
        time.sleep(0.1)
        seen.append(rig.true_rad()[4])
    assert seen[-1] == pytest.approx(goal[4], abs=0.03)
    assert max(seen) < BELOW_ZERO_RAD + 0.05 and min(seen) > goal[4] - 0.05, "straight there"


def test_a_servo_that_is_pushed_past_the_end_of_its_turn_is_held_there_and_halts_the_arm(
    rig, wait_until
):
    """The finger's servo goes by numbers in both families; its goal would be a turn away."""
    rig.ask("servo", servo_id=FINGER, shift_counts=-1)  # any change: it reads anew
    rig.loop.disarm()
    rig.loop.arm()
    with rig.loop.lock:
        present = rig.loop.servos.bus.read(FINGER, "present_position")
    try:
        for step in range(1, 9):  # in steps that a hand would make
            shift = -1 - round(step / 8 * (present + 40))
            rig.ask("servo", servo_id=FINGER, shift_counts=shift, registers={"torque_enable": 1})
            rig.simulate(0.05)
        wait_until(lambda: rig.loop.state is State.HALTED, 5)
        assert "left_finger (servo 9) was moved past the end of its single turn" in rig.loop.fault
        state = rig.ask("state")
        goal = state["goals"][rig.loop.config.ids.index(FINGER)]
        with rig.loop.lock:
            assert goal == pytest.approx(
                rig.loop.servos.bus.read(FINGER, "present_position"), abs=30
            )
    finally:
        rig.close()
        rig.ask("servo", servo_id=FINGER, shift_counts=0)


def test_limits_in_a_servo_that_cut_the_joints_range_are_named_and_may_be_set_by_the_file(
    rig, tmp_path
):
    rig.ask("servo", servo_id=FINGER, registers={"min_position_limit": 1900})
    rig.ask("servo", servo_id=WRIST, registers={"min_position_limit": 10})
    rig.close()
    needs = (
        r"left_finger \(servo 9\) limits itself to 1900 to 4095 counts.*needs 1802 to"
        r" 2875.*min_position_counts"
    )
    with pytest.raises(RobotError, match=needs):
        rig.open()
    rig.ask(
        "servo", servo_id=FINGER, registers={"min_position_limit": 0, "max_position_limit": 2800}
    )
    with pytest.raises(RobotError, match=r"limits itself to 0 to 2800 counts"):
        rig.open()
    rig.ask("servo", servo_id=FINGER, reboot=True)
    whole = {"min_position_counts": 0, "max_position_counts": 4095}
    wide = rig.variant(tmp_path, lambda servos, bus: servos[FINGER].update(whole))
    rig.open(wide, write_settings=True)
    with rig.loop.lock:
        assert rig.loop.servos.bus.read(FINGER, "max_position_limit") == 4095
    rig.ask("servo", servo_id=WRIST, registers={"min_position_limit": 0})


def test_limits_of_a_mode_that_has_none_are_nobodys_business(rig):
    mode = {"dynamixel_x": {"min_position_limit": 2000}, "feetech_sts": {"max_position_limit": 0}}
    rig.ask("servo", servo_id=WRIST, registers=mode[rig.family])
    rig.close()
    rig.open()
    rig.close()
    rig.ask(
        "servo", servo_id=WRIST, registers={"min_position_limit": 0, "max_position_limit": 4095}
    )


LEFT = {
    "dynamixel_x": {
        "bus_watchdog": 255,
        "goal_pwm": 100,
        "profile_velocity": 20,
        "profile_acceleration": 5,
    },
    "feetech_sts": {
        "torque_limit": 100,
        "goal_time": 500,
        "profile_velocity": 20,
        "profile_acceleration": 5,
    },
}
NEEDED = {
    "dynamixel_x": {
        "bus_watchdog": 0,
        "goal_pwm": 885,
        "profile_velocity": 0,
        "profile_acceleration": 0,
    },
    "feetech_sts": {
        "torque_limit": 1000,
        "goal_time": 0,
        "profile_velocity": 0,
        "profile_acceleration": 0,
    },
}


def test_what_another_program_left_in_a_servo_does_not_slow_or_weaken_it(rig):
    rig.ask("servo", servo_id=WRIST, registers=LEFT[rig.family])
    rig.loop.disarm()
    rig.loop.arm()
    with rig.loop.lock:
        found = {name: rig.loop.servos.bus.read(WRIST, name) for name in NEEDED[rig.family]}
    assert found == NEEDED[rig.family]


def test_a_blocked_joint_does_not_wind_up_and_does_not_leap_when_it_is_free(rig):
    leash = rig.robot.max_following_error_rad
    rig.ask("servo", servo_id=WAIST, jammed=True)
    goal, apart = rig.home + [1.0, 0, 0, 0, 0, 0], []
    for _ in range(20):
        rig.loop.command(JointCommand(goal, 0.03, 0.075))
        time.sleep(0.1)
        with rig.loop.lock:
            apart.append(rig.loop._follower.position[0] - rig.loop.measured.positions[0])
    assert 0.5 * leash < max(apart) <= leash + 0.01
    assert "waist was +0." in rig.loop.behind and "blocked" in rig.loop.behind
    assert abs(rig.true_rad()[0] - rig.home[0]) < 0.05
    rig.ask("servo", servo_id=WAIST, jammed=False)
    rig.simulate(1.0)
    assert rig.true_rad()[0] - rig.home[0] <= leash + 0.05, "nobody commands it any more"
    assert rig.loop.state is State.ARMED
    rig.go(rig.home, 1.0)


def test_a_command_that_is_not_finite_is_refused_and_the_loop_lives_on(rig):
    for wrong in (np.nan, np.inf, -np.inf):
        crooked = rig.home.copy()
        crooked[2] = wrong
        for command in (
            JointCommand(crooked, 0.03, 0.075),
            JointCommand(rig.home + 0.1, wrong, 0.075),
            JointCommand(rig.home + 0.1, 0.03, wrong),
        ):
            with pytest.raises(RobotError, match="must be finite"):
                rig.loop.command(command)
    rig.go(rig.home + 0.05, 0.5)
    rig.simulate(0.3)
    assert rig.loop.error is None and rig.loop.state is State.ARMED
    assert np.abs(rig.true_rad() - rig.home - 0.05).max() < 0.02


def test_a_stopped_loop_stands_still_within_a_cycle_and_refuses_commands(rig):
    rig.loop.command(JointCommand(rig.home + [1.0, 0, 0, 0, 0, 0], 0.03, 2.0))
    time.sleep(0.05)
    rig.loop.stopped = "the stop topic"
    time.sleep(2 * rig.loop.config.period_s)
    with rig.loop.lock:
        at_stop = rig.loop._follower.position
    with pytest.raises(RobotError, match="stopped by the stop topic; ignored"):
        rig.loop.command(JointCommand(rig.home, 0.03, 0.075))
    rig.simulate(0.3)
    assert np.array_equal(rig.loop._follower.position, at_stop)
    assert np.abs(rig.true_rad() - at_stop[:-1]).max() < 0.02
    rig.loop.stopped = ""
    rig.go(rig.home, 0.5)


def test_the_torque_is_off_only_when_every_servo_says_so(rig):
    rig.ask("servo", servo_id=4, stuck=["torque_enable"])
    began_s = time.monotonic()
    with pytest.raises(
        RobotError,
        match=r"elbow \(servo 4\) did not answer, and may still have torque.*cut the arm's",
    ):
        rig.loop.set_torque(False)
    assert time.monotonic() - began_s < TORQUE_ANSWERS_S
    torque = dict(zip(rig.loop.config.ids, rig.ask("state")["torque"], strict=True))
    assert [servo_id for servo_id, on in torque.items() if on] == [4]


def test_a_bus_that_hangs_answers_the_torque_service_in_time_and_says_what_to_do(rig, wait_until):
    """The process at the other end stands still: nothing comes, and soon nothing more goes out."""
    os.kill(rig.process.pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            began_s = time.monotonic()
            with pytest.raises(RobotError, match="torque; cut the arm's power"):
                rig.loop.set_torque(False)
            assert time.monotonic() - began_s < TORQUE_ANSWERS_S
            time.sleep(1.5)  # the line's buffer fills
    finally:
        os.kill(rig.process.pid, signal.SIGCONT)
    wait_until(lambda: rig.ask("state"), 10)


def test_an_unplugged_arm_says_that_it_may_have_torque(rig, wait_until):
    rig.ask("plug", plugged=False)
    wait_until(lambda: rig.loop.state is State.UNPLUGGED, 10)
    with pytest.raises(PortLost, match="may still have torque; cut the arm's power"):
        rig.loop.set_torque(False)


def test_a_cycle_that_never_ends_keeps_nobody_waiting_for_the_torque(rig):
    held, ended = threading.Event(), threading.Event()

    def hang():
        with rig.loop.lock:
            held.set()
            ended.wait(30)

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        assert held.wait(10)
        began_s = time.monotonic()
        with pytest.raises(
            RobotError, match=r"has hung for .*may still have torque; cut the arm's power"
        ):
            rig.loop.set_torque(False)
        assert time.monotonic() - began_s < TORQUE_ANSWERS_S
    finally:
        ended.set()
        thread.join()
