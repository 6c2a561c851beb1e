"""A servo that reads wrongly moves nothing: the driver's loop, with servos that stand at once where
they are told to be, in simulated time.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from conure_core.control.safety import JointCommand
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.servos.bus_config import load_bus
from conure_core.servos.registers import FAMILIES
from conure_core.servos.scale import ServoScale
from conure_ros.drivers import arm_loop
from conure_ros.drivers.leap_watch import LeapWatch
from conure_ros.drivers.serial_arm import Measurement, SerialArm, ServoFault
from conure_ros.drivers.speed_limit import SpeedLimit

ROBOT = load_robot("wx250s_serial")
BUS = load_bus("wx250s_serial")
SCALE = ServoScale(BUS, ROBOT)
HOME = np.array(ROBOT.home_rad)
GRIPPER_M, CYCLE_S, STEP_RAD = 0.03, BUS.period_s, 0.02
WRONG = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])


class ObedientServos:
    """`wrong`: what is added to each of the next readings."""

    def __init__(self, bus, scale, writer):
        self.bus, self.missing = SimpleNamespace(close=lambda: None), []
        self.positions = np.append(HOME, GRIPPER_M)
        self.wrong, self.goals, self.turned = [], [], ""

    def check(self, tracked=False):
        return self.measure()

    def measure(self):
        positions = self.positions + (self.wrong.pop(0) if self.wrong else 0.0)
        return Measurement(positions, np.zeros(6))

    def hold_present(self, torque=True):
        return self.measure()

    goals_at_present = hold_present

    def send_goals(self, positions):
        self.goals.append(positions.copy())
        self.positions = positions.copy()

    def beyond_turn(self):
        return self.turned

    def require_no_error(self): ...
    def poll_health(self, powered): ...


class Rig:
    def __init__(self, monkeypatch):
        self.now_s, self.published = 100.0, []
        monkeypatch.setattr(arm_loop, "SerialArm", ObedientServos)
        monkeypatch.setattr(arm_loop, "open_bus", lambda bus, port: None)
        monkeypatch.setattr(arm_loop, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.loop = arm_loop.ArmLoop(SCALE, "none", on_measurement=self.published.append)
        self.loop.arm()
        self.servos = self.loop.servos

    def step(self, times=1):
        for _ in range(times):
            self.now_s += CYCLE_S
            self.loop.step(self.now_s)

    def ask(self):
        goal = self.loop._follower.position[:-1] + [STEP_RAD, 0, 0, 0, 0, 0]
        self.loop.command(JointCommand(goal, GRIPPER_M, 0.075))

    def run(self, commands):
        for _ in range(commands):
            self.ask()
            self.step(10)

    @property
    def away_rad(self):
        return float(np.abs(self.servos.positions[:-1] - HOME).max())

    def fastest(self):
        """As a multiple of the joint's limit."""
        steps = np.diff([np.append(HOME, GRIPPER_M), *self.servos.goals], axis=0)
        limit = np.array(ROBOT.max_speed_rad_s) * CYCLE_S
        return float((np.abs(steps[:, :-1]) / limit).max(initial=0.0))


@pytest.fixture
def rig(monkeypatch):
    return Rig(monkeypatch)


def test_commands_move_the_arm(rig):
    rig.run(3)
    assert rig.away_rad == pytest.approx(3 * STEP_RAD) and rig.fastest() <= 1.0 + 1e-9


@pytest.mark.parametrize("cycles", [1, 3])
def test_a_wrong_reading_on_the_way_moves_no_joint_faster_than_it_may_and_ends_with_a_good_one(
    rig, cycles
):
    rig.ask()
    rig.step(3)
    rig.servos.wrong = [WRONG] * cycles
    rig.step()
    held_rad = rig.away_rad
    rig.step(cycles)
    assert rig.away_rad == held_rad and rig.fastest() <= 1.0 + 1e-9
    assert "'waist' moved 1.00 rad" in rig.loop.behind
    rig.run(2)
    assert rig.away_rad > STEP_RAD and rig.fastest() <= 1.0 + 1e-9
    assert rig.loop.state is arm_loop.State.ARMED
    assert any(np.allclose((one.positions - WRONG)[0], held_rad) for one in rig.published), (
        "control is to judge it as well"
    )


def test_a_wrong_reading_of_an_arm_at_rest_is_no_arm_that_was_moved_by_hand(rig):
    rig.step(30)
    rig.servos.wrong = [WRONG]
    rig.step()
    rig.ask()
    rig.step(10)
    assert rig.away_rad <= STEP_RAD + 1e-9 and rig.fastest() <= 1.0 + 1e-9


def test_readings_that_agree_for_long_count_and_the_arm_goes_on_from_there_at_its_speed(rig):
    """A hand, a new scene, or an encoder that slipped: control decides whether anything moves."""
    rig.run(1)
    rig.servos.wrong = [WRONG] * 1000
    rig.step(int(BUS.lost_s / CYCLE_S) - 2)
    assert rig.loop.measured.positions[0] < 0.1
    rig.step(6)
    assert rig.loop.measured.positions[0] == pytest.approx(1.0 + STEP_RAD, abs=1e-6)
    assert rig.away_rad == pytest.approx(STEP_RAD, abs=1e-6), "nothing moves by itself"
    assert rig.loop.state is arm_loop.State.ARMED


def test_readings_that_do_not_agree_never_count(rig):
    rig.run(1)
    rig.servos.wrong = [WRONG, -WRONG] * 100
    for _ in range(10):
        rig.ask()
        rig.step(10)
    assert rig.away_rad < 12 * STEP_RAD and rig.fastest() <= 1.0 + 1e-9
    assert abs(rig.loop.measured.positions[0]) < 0.1


def test_a_wrong_reading_is_no_servo_beyond_its_turn(rig):
    rig.servos.wrong, rig.servos.turned = [WRONG], "waist (servo 1)"
    rig.step()
    assert rig.loop.state is arm_loop.State.ARMED
    rig.step()
    assert rig.loop.state is arm_loop.State.HALTED


def test_an_arm_without_torque_may_be_moved_as_fast_as_a_hand_is(rig):
    rig.loop.state = arm_loop.State.LIMP
    rig.servos.wrong = [WRONG] * 100
    rig.step(50)
    assert rig.loop.state is arm_loop.State.LIMP and rig.loop.measured.positions[0] > 0.9


def test_a_cycle_that_began_before_a_request_and_waited_for_it_judges_nothing_wrongly():
    watch = LeapWatch(Arm(ROBOT), 0.25)
    watch.begin(HOME, 10.0)
    assert watch.take(HOME, 9.5) == ""
    assert watch.take(HOME + 0.04, 9.9) == ""
    assert "'waist' moved" in watch.take(HOME + [0.5, 0, 0, 0, 0, 0], 10.01)


def test_the_first_reading_of_all_is_trusted_and_those_after_it_are_judged_by_it():
    watch = LeapWatch(Arm(ROBOT), 0.25)
    assert watch.take(HOME, 10.0) == ""
    assert "'waist' moved" in watch.take(HOME + [0.5, 0, 0, 0, 0, 0], 10.01)
    assert watch.take(HOME, 10.02) == ""


def test_wrong_readings_agree_only_while_no_good_one_comes_between_them():
    watch, wrong = LeapWatch(Arm(ROBOT), 0.25), HOME + WRONG[:-1]
    watch.begin(HOME, 10.0)
    for cycle in range(1, 101):
        reading = HOME if cycle % 5 else wrong
        assert (watch.take(reading, 10.0 + cycle / 100) == "") == bool(cycle % 5)
    refused = [watch.take(wrong, 11.01 + cycle / 100) != "" for cycle in range(30)]
    assert refused.index(False) in (25, 26), "once they agree for 0.25 s"


def test_after_a_pause_a_joint_may_be_as_far_as_it_can_have_moved_in_it():
    watch = LeapWatch(Arm(ROBOT), 0.25)
    watch.begin(HOME, 10.0)
    assert watch.take(HOME + [0.5, 0, 0, 0, 0, 0], 10.2) == ""


def test_the_shortest_time_is_that_of_the_slowest_joint():
    position = np.append(HOME, 0.02)
    goal = position + np.array([0.3, 0.0, 0.0, 0.0, 0.0, -0.8, 0.0])
    assert SpeedLimit(ROBOT).shortest_s(position, goal) == pytest.approx(2.0)
    gripper_m_s = ROBOT.gripper_speed_m_s / ROBOT.settle_fraction
    assert SpeedLimit(ROBOT).shortest_s(position, position + np.eye(7)[6]) == pytest.approx(
        1.0 / gripper_m_s
    )


class Registers:
    """A bus whose first servo reads with each of these offsets, in counts, after the other."""

    config, table, alerts = BUS, FAMILIES["dynamixel_x"], {}

    def __init__(self, offsets):
        self.offsets, self.goals = list(offsets), {}

    def read_block(self, ends):
        if ends == ("goal_position", "goal_position"):
            register = self.table.register("goal_position")
            return {one: register.encode(goal) for one, goal in self.goals.items()}, []
        offset = self.offsets.pop(0) if self.offsets else 0
        counts = SCALE.counts(np.append(HOME, GRIPPER_M))
        counts[0] += offset
        return {
            one: self._state(int(count)) for one, count in zip(BUS.ids, counts, strict=True)
        }, []

    def _state(self, count):
        begin, size = self.table.block(self.table.state)
        data, position = bytearray(size), self.table.register("present_position")
        at = position.address - begin
        data[at : at + position.size] = position.encode(count)
        return bytes(data)

    def write_all(self, name, values):
        assert name == "goal_position"
        self.goals = dict(values)


@pytest.mark.parametrize("offsets", [[0, 700], [700], [0, 0, 700]])
def test_a_wrong_reading_never_becomes_the_goal_of_an_arm_that_gets_its_torque(offsets):
    bus = Registers(offsets)
    SerialArm(bus, SCALE).goals_at_present()
    here = SCALE.counts(np.append(HOME, GRIPPER_M))
    assert list(bus.goals.values()) == here.tolist()


def test_readings_that_never_agree_are_named_and_become_no_goal():
    bus = Registers([0, 700] * 10_000)
    with pytest.raises(ServoFault, match=r"reads 700 counts apart"):
        SerialArm(bus, SCALE).goals_at_present()
    assert bus.goals == {}
