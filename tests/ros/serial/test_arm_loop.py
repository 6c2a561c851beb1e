"""The driver's loop over real serial bytes: the simulated arm is another process on the other end
of the line.
"""

import contextlib
import threading
import time

import numpy as np
import pytest

from conure_core.control.safety import JointCommand
from conure_core.errors import RobotError
from conure_core.servos.bus_config import load_bus
from conure_ros.drivers.arm_loop import ArmLoop, State
from conure_ros.drivers.port import PortLost
from conure_ros.drivers.serial_arm import ServoFault

pytestmark = pytest.mark.nodes


def test_opening_moves_nothing_and_activation_holds_the_pose_that_it_finds(rig, wait_until):
    rig.loop.disarm()
    rig.close()
    before = rig.true_rad()
    loop = rig.open()
    rig.simulate(0.3)
    assert np.abs(rig.true_rad() - before).max() < 0.01, "opening"
    # Goals far away, left over from who knows when, while there is no torque.
    loop.let_go()
    with loop.lock:
        for servo_id in loop.config.ids:
            loop.servos.bus.write(servo_id, "goal_position", 1000)
    assert not any(rig.ask("state")["torque"])
    # Else the next cycle's measurement may take the place of the one that became the goal.
    with loop.lock:
        loop.arm()
        at_arming = loop.measured.positions[:-1]
    assert all(rig.ask("state")["torque"])
    rig.simulate(0.5)
    assert np.abs(rig.true_rad() - at_arming).max() < 0.1, "the goal of 1000 counts is 1.6 rad away"


def test_commands_are_followed_and_both_servos_of_a_joint_are_told(rig):
    goal = rig.home + [0.2, 0.05, -0.05, 0.1, 0.05, -0.2]
    rig.go(goal, 1.0)
    rig.simulate(0.3)
    assert np.abs(rig.true_rad() - goal).max() < 0.02
    assert np.abs(rig.loop.measured.positions[:-1] - goal).max() < 0.02
    assert rig.loop.measured.positions[-1] == pytest.approx(0.03, abs=0.002)
    scale = rig.loop.scale
    goals = np.array(rig.ask("state")["goals"])
    wanted = scale.counts(np.append(goal, 0.03))
    assert np.abs((goals - wanted + 2048) % 4096 - 2048).max() <= 1
    assert rig.loop.state is State.ARMED


def test_the_arm_holds_when_commands_cease(rig):
    """A command of a long way, and then nobody any more: it is followed for silence_s, not to its
    end.
    """
    rig.loop.command(JointCommand(rig.home + [1.0, 0, 0, 0, 0, 0], 0.03, 2.0))
    time.sleep(0.1 + 0.1)
    early = rig.loop._follower.position
    time.sleep(0.7)
    assert np.array_equal(rig.loop._follower.position, early)
    assert 0.02 < early[0] - rig.home[0] < 0.12, "0.1 s at 0.5 rad/s, and a cycle"
    assert np.abs(rig.true_rad() - early[:-1]).max() < 0.02


def test_no_set_point_is_faster_than_the_limit_or_outside_the_joints_range(rig):
    goal = rig.home + [2.0, 0, 0, 0, 0, 0]
    seen = []
    for _ in range(8):
        rig.loop.command(JointCommand(goal, 0.03, 0.001))
        for _ in range(5):
            time.sleep(0.02)
            with rig.loop.lock:
                seen.append((rig.loop._stepped_s, rig.loop._follower.position[0]))
    times, angles = np.array(seen).T
    moved = np.diff(times) > 0
    speeds = np.diff(angles)[moved] / np.diff(times)[moved]
    assert speeds.max() <= rig.robot.max_speed_rad_s[0] * 1.01
    assert speeds.max() > 1.0
    rig.go(rig.home + [0, 5.0, 0, 0, 0, 0], 0.3)
    assert rig.loop._follower.position[1] <= rig.loop.scale.upper[1]


def test_a_command_after_a_cycle_that_took_long_begins_when_it_comes(rig):
    loop = rig.loop
    for _ in range(2):  # from rest, and on the way
        with loop.lock:
            time.sleep(0.5)
            before = loop._follower.position
            loop.command(JointCommand(before[:-1] + [0.3, 0, 0, 0, 0, 0], 0.03, 0.5))
            loop.step(time.monotonic())
            assert (
                0.0 < (loop._follower.position - before)[0] < 0.3 * 3 * loop.config.period_s / 0.5
            )


def test_a_cycle_in_which_the_process_was_suspended_ends_motion(rig):
    loop = rig.loop
    with loop.lock:
        before = loop._follower.position
        loop.command(JointCommand(before[:-1] + [0.3, 0, 0, 0, 0, 0], 0.03, 0.3))
        loop.step(time.monotonic() - 2.0)
        assert np.array_equal(loop._follower.position, before)
        assert not loop._follower.speed.any()


def test_a_command_that_waits_for_a_suspended_cycle_moves_nothing(rig):
    loop, goal, said = rig.loop, JointCommand(rig.home + [1.0, 0, 0, 0, 0, 0], 0.03, 1.0), []

    def command():
        with pytest.raises(RobotError, match="waited"):
            loop.command(goal)
        said.append("refused")

    waiting = threading.Thread(target=command)
    with loop.lock:
        before = loop._follower.position
        waiting.start()
        time.sleep(loop.config.lost_s + 0.1)
    waiting.join()
    assert said and np.array_equal(loop._follower.position, before)


@pytest.mark.parametrize(
    "fault", [{"corrupt": 0.05}, {"partial": 0.03}, {"late": 0.01, "late_s": 0.05}]
)
def test_spoilt_packets_are_retried_and_counted_and_end_nothing(rig, fault):
    before, cycles = sum(rig.loop.servos.bus.retried.values()), rig.loop.times.cycles
    rig.ask("faults", **fault)
    goal = rig.home + [0.3, 0, 0, 0, 0, 0.3]
    rig.go(goal, 2.0)
    rig.ask("faults")
    rig.go(goal, 0.3)  # what is left of the way on a busy machine
    rig.simulate(0.3)
    assert rig.loop.state is State.ARMED and rig.loop.error is None, rig.loop.fault
    assert sum(rig.loop.servos.bus.retried.values()) > before
    assert rig.loop.times.cycles - cycles > 50
    assert np.abs(rig.true_rad() - goal).max() < 0.02


def test_a_lost_servo_halts_the_arm_by_name_and_only_activation_lets_it_go_on(rig, wait_until):
    rig.ask("faults", lost=[4])
    wait_until(lambda: rig.loop.state is State.HALTED, 10)
    assert "lost elbow (servo 4)" in rig.loop.fault
    assert rig.faults == [rig.loop.fault]
    assert all(rig.ask("state")["torque"]), "the others hold the arm up"
    with pytest.raises(RobotError, match="halted: lost elbow"):
        rig.loop.command(JointCommand(rig.home + 0.1, 0.03, 0.075))
    with pytest.raises(RobotError, match=r"elbow \(servo 4\) does not answer"):
        rig.loop.arm()
    rig.ask("faults")
    before = rig.true_rad()
    time.sleep(0.3)
    assert rig.loop.state is State.HALTED, "it does not go on by itself"
    rig.loop.arm()
    rig.simulate(0.3)
    assert np.abs(rig.true_rad() - before).max() < 0.02
    rig.go(rig.home + 0.05, 0.5)


@pytest.mark.parametrize(
    ("servo", "name"), [({"temperature_c": 85}, "overheating"), ({"overload": True}, "overload")]
)
def test_a_hot_or_overloaded_servo_halts_the_arm_and_is_rebooted_on_request_only(
    rig, wait_until, servo, name
):
    rig.ask("servo", servo_id=7, **servo)
    wait_until(lambda: rig.loop.state is State.HALTED, 10)
    assert f"wrist_angle (servo 7): {name}" in rig.loop.fault
    rig.ask("servo", servo_id=7, temperature_c=35)
    with pytest.raises(RobotError, match=name):
        rig.loop.arm()
    assert rig.loop.reboot_faulty() == ["wrist_angle (servo 7)"]
    assert rig.loop.reboot_faulty() == []
    before = rig.true_rad()
    rig.loop.arm()
    rig.simulate(0.3)
    others = [0, 1, 2, 3, 5]
    assert np.abs((rig.true_rad() - before)[others]).max() < 0.02
    assert all(rig.ask("state")["torque"])


def test_a_servo_that_let_go_for_an_error_between_measurement_and_health_is_not_said_to_have_lost_its_power(
    rig,
):
    with rig.loop.lock:
        rig.ask("servo", servo_id=7, overload=True)
        for _ in rig.loop.config.table.health:
            with pytest.raises(ServoFault, match=r"wrist_angle \(servo 7\): overload"):
                rig.loop.servos.poll_health(powered=True)
    rig.loop.disarm()
    rig.loop.reboot_faulty()


def test_a_servo_over_the_drivers_own_limit_halts_the_arm_before_it_lets_go_itself(
    rig, wait_until, calm
):
    rig.ask("servo", servo_id=1, temperature_c=75)
    wait_until(lambda: rig.loop.state is State.HALTED, 10)
    assert "waist (servo 1) is at 75 deg C (limit 70)" in rig.loop.fault
    assert all(rig.ask("state")["torque"])
    rig.ask("servo", servo_id=1, temperature_c=35)
    rig.loop.arm()
    time.sleep(4 * calm["health_period_s"])
    assert rig.loop.state is State.ARMED, "what was read when it was hot halts nothing any more"


def test_an_arm_without_torque_follows_nothing_and_holds_where_it_is_when_it_has_it_again(rig):
    rig.loop.set_torque(False)
    assert rig.loop.state is State.LIMP and not any(rig.ask("state")["torque"])
    with pytest.raises(RobotError, match="the arm is limp"):
        rig.loop.command(JointCommand(rig.home, 0.03, 0.075))
    time.sleep(0.15)
    with (
        rig.loop.lock
    ):  # As above: what was measured, not where it fell to until the torque was on.
        rig.loop.set_torque(True)
        at_torque = rig.loop.measured.positions[:-1]
    assert rig.loop.state is State.ARMED and all(rig.ask("state")["torque"])
    assert np.abs(at_torque - rig.home).max() > 0.02, "it fell"
    # It fell on between the measurement and the torque: the further, the busier the machine. The
    # servos bring it back.
    rig.simulate(1.0)
    assert np.abs(rig.true_rad() - at_torque).max() < 0.1, "it is held where it was"
    rig.loop.disarm()
    with pytest.raises(RobotError, match="the arm is not active"):
        rig.loop.set_torque(False)


def test_a_servo_that_does_not_answer_keeps_no_other_from_letting_go(rig, wait_until):
    rig.ask("faults", lost=[4])
    wait_until(lambda: rig.loop.state is State.HALTED, 10)
    with pytest.raises(RobotError, match=r"elbow \(servo 4\) did not answer.*cut the arm's power"):
        rig.loop.set_torque(False)
    torque = dict(zip(rig.loop.config.ids, rig.ask("state")["torque"], strict=True))
    assert [servo_id for servo_id, on in torque.items() if on] == [4]
    assert rig.loop.state is State.HALTED


def test_a_servo_that_lost_its_power_for_a_moment_halts_the_arm(rig, wait_until):
    rig.ask("servo", servo_id=6, reboot=True)
    wait_until(lambda: rig.loop.state is State.HALTED, 10)
    assert "forearm_roll (servo 6) has no torque any more" in rig.loop.fault


def test_unplugged_and_back_the_arm_holds_where_it_is_until_it_is_activated(rig, wait_until):
    rig.loop.command(JointCommand(rig.home + 0.1, 0.03, 0.075))
    rig.ask("plug", plugged=False)
    wait_until(lambda: rig.loop.state is State.UNPLUGGED, 10)
    for forbidden in (rig.loop.arm, rig.loop.let_go, rig.loop.reboot_faulty):
        with pytest.raises(PortLost):
            forbidden()
    rig.simulate(0.3)
    before = rig.true_rad()
    rig.ask("plug", plugged=True)
    wait_until(lambda: rig.loop.state is State.HALTED, 10)
    assert "was unplugged and is back" in rig.loop.fault
    rig.simulate(0.3)
    assert np.abs(rig.true_rad() - before).max() < 0.02
    with pytest.raises(RobotError, match="activate again"):
        rig.loop.command(JointCommand(rig.home, 0.03, 0.075))
    rig.loop.arm()
    rig.simulate(0.2)
    assert np.abs(rig.true_rad() - before).max() < 0.02
    rig.go(rig.home, 0.5)


@pytest.mark.parametrize(("times", "fight"), [(1, False), (100, True)])
def test_two_servos_of_a_joint_fight_if_they_stay_apart_not_if_one_of_them_was_asked_again(
    rig, times, fight
):
    """Asked again, it tells where the joint is by then: apart from the first one while the joint
    moves.
    """
    if load_bus(rig.robot_name).family == "feetech_sts":
        pytest.skip("no joint of this arm has two servos")
    rig.loop.disarm()
    servos, left = rig.loop.servos, [times]
    read_state, second = servos._read_state, servos.config.ids.index(5)

    def apart():
        counts, speeds = read_state()
        left[0] -= 1
        counts[second] += 60 * (left[0] >= 0)  # 0.09 rad
        return counts, speeds

    with rig.loop.lock:
        servos._read_state = apart
        with (
            pytest.raises(ServoFault, match=r"elbow \(servo 5\).*would work against each other")
            if fight
            else contextlib.nullcontext()
        ):
            servos.check()
        servos._read_state = read_state


def test_reboot_and_torque_off_are_refused_while_armed(rig):
    for forbidden in (rig.loop.let_go, rig.loop.reboot_faulty):
        with pytest.raises(RobotError, match="deactivate it before"):
            forbidden()
    assert all(rig.ask("state")["torque"])


def test_a_second_driver_on_the_same_port_is_refused(rig):
    scale = rig.loop.scale
    with pytest.raises(PortLost):
        ArmLoop(scale, str(rig.port))
    assert rig.loop.state is State.ARMED


def test_another_model_or_a_setting_under_torque_is_refused_by_name(rig, tmp_path):
    rig.close()
    if rig.family == "feetech_sts":
        pytest.skip("one model, and no register that this test could change")
    wrong = rig.variant(tmp_path, lambda servos, bus: servos[8].update(model="XM430-W350"))
    with pytest.raises(
        RobotError, match=r"wrist_rotate \(servo 8\) is a XL430-W250, expected a XM430-W350"
    ):
        rig.open(wrong)
    (tmp_path / "limited").mkdir()
    limited = rig.variant(
        tmp_path / "limited", lambda servos, bus: servos[1].update(current_limit_ma=1000.0)
    )
    with pytest.raises(
        RobotError, match=r"waist \(servo 1\): current_limit 0 -> 372: .*see torque_off"
    ):
        rig.open(limited, write_settings=True)
    rig.open().let_go()
    rig.close()
    loop = rig.open(limited, write_settings=True)
    with loop.lock:
        assert loop.servos.bus.read(1, "current_limit") == 372
