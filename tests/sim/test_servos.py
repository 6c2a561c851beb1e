"""Simulated servos, byte by byte, against the vendors' SDKs over a real pseudo-terminal."""

import threading
import time
from contextlib import suppress
from dataclasses import replace

import dynamixel_sdk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_core.robot.description import load_robot
from conure_core.servos.bus_config import BusConfig, ServoConfig
from conure_core.servos.registers import FAMILIES
from conure_ros.drivers.port import PortLost
from conure_ros.drivers.servo_bus import SUCCESS, ServoRefused, ServoSilent, open_bus
from conure_sim.physics.arm_simulation import table_camera
from conure_sim.physics.bullet_world import BulletWorld
from conure_sim.physics.world import PHYSICS_HZ
from conure_sim.servos.arm import ServoArm
from conure_sim.servos.bus import LineFaults, VirtualBus
from conure_sim.servos.protocols import DynamixelProtocol, FeetechProtocol, crc16
from conure_sim.servos.servo import SimulatedServo

pytestmark = pytest.mark.nodes
MODELS = {"dynamixel_x": "XM430-W350", "feetech_sts": "STS3215"}
IDS = (1, 2, 7)
LOOSE = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module", params=sorted(MODELS))
def line(request, tmp_path_factory):
    """A bus of three servos, and the driver's end of it."""
    servos = tuple(ServoConfig(f"joint{number}", number, MODELS[request.param]) for number in IDS)
    path = tmp_path_factory.mktemp("line") / "port"
    config = BusConfig(request.param, str(path), servos, latency_s=0.05, retries=3, lost_s=20.0)
    with VirtualBus(config, [2048.0] * len(IDS), path) as simulated:
        bus = open_bus(config, str(path))
        yield simulated, bus
        bus.close()


@pytest.fixture
def clear(line):
    """The same without faults, torque or errors."""
    simulated, _ = line
    simulated.faults = LineFaults()
    for servo in simulated.servos.values():
        servo.set("present_temperature", 35)
        servo.shaft_counts = 2048.0
        servo.reboot()
    return line


@LOOSE
@given(st.binary(max_size=80))
def test_the_checksum_is_the_sdks(data):
    assert crc16(data) == dynamixel_sdk.Protocol2PacketHandler().updateCRC(0, data, len(data))


@LOOSE
@given(
    st.integers(0, 252),
    st.integers(0, 255),
    st.binary(max_size=40),
    st.lists(st.integers(1, 9)),
    st.binary(),
)
def test_packets_are_found_however_the_bytes_arrive(servo_id, code, data, cuts, noise):
    packets = [(DynamixelProtocol(), b"\xff\xff\xfd\x00"), (FeetechProtocol(), b"\xff\xff")]
    for protocol, header in packets:
        if header[:2] in noise or noise.endswith(b"\xff"):
            continue
        if isinstance(protocol, DynamixelProtocol):
            body = (bytes([code]) + data).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
            packet = header + bytes([servo_id]) + (len(body) + 2).to_bytes(2, "little") + body
            packet += crc16(packet).to_bytes(2, "little")
        else:
            body = bytes([servo_id, len(data) + 2, code]) + data
            packet = header + body + bytes([~sum(body) & 0xFF])
        stream, buffer, found = noise + packet, bytearray(), []
        for cut in [*cuts, len(stream)]:
            buffer += stream[:cut]
            stream = stream[cut:]
            found += protocol.instructions(buffer)
        assert [(one.servo_id, one.code, one.parameters, one.intact) for one in found] == [
            (servo_id, code, data, True)
        ]


@LOOSE
@given(data=st.data())
def test_what_the_sdk_writes_is_what_it_reads_and_what_the_servo_holds(line, data):
    simulated, bus = line
    simulated.faults = LineFaults()
    servo_id = data.draw(st.sampled_from(IDS))
    limits = {
        "goal_position": (0, 4095),
        "profile_acceleration": (0, 200),
        "homing_offset": (-1024, 1024),
    }
    name = data.draw(st.sampled_from(sorted(limits)))
    value = data.draw(st.integers(*limits[name]))
    bus.write(servo_id, name, value)
    assert simulated.servos[servo_id].get(name) == value
    assert bus.read(servo_id, name) == value


@LOOSE
@given(st.lists(st.integers(0, 4095), min_size=len(IDS), max_size=len(IDS)))
def test_a_sync_write_reaches_every_servo_and_a_sync_read_brings_what_each_measures(line, goals):
    simulated, bus = line
    simulated.faults = LineFaults()
    bus.write_all("goal_position", dict(zip(IDS, goals, strict=True)))
    for servo_id, goal in zip(IDS, goals, strict=True):
        assert bus.read(servo_id, "goal_position") == goal
        with simulated.lock:
            simulated.servos[servo_id].set("homing_offset", 0)
            simulated.servos[servo_id].measure(goal, 3.0)
    found, missing = bus.read_block(bus.table.state)
    assert not missing
    measured = [
        bus.table.value("present_position", bus.table.state, found[servo_id]) for servo_id in IDS
    ]
    assert measured == goals


@pytest.mark.parametrize("value", [0x00FDFFFF, -131073, 0x7DFDFFFF, -3, 0x00FFFFFD])
def test_values_that_look_like_a_packets_head_survive_both_ways(clear, value):
    simulated, bus = clear
    if bus.table.name != "dynamixel_x":
        pytest.skip("only Protocol 2.0 stuffs bytes")
    for servo_id in IDS:
        bus.write(servo_id, "operating_mode", 4)
    bus.write_all("goal_position", dict.fromkeys(IDS, value))
    assert [bus.read(servo_id, "goal_position") for servo_id in IDS] == [value] * len(IDS)
    assert [simulated.servos[servo_id].get("goal_position") for servo_id in IDS] == [value] * len(
        IDS
    )
    for servo_id in IDS:
        bus.write(servo_id, "operating_mode", 3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 4095), st.sampled_from(["corrupt", "partial", "late"]))
def test_a_spoilt_packet_is_never_taken_for_a_measurement(line, counts, kind):
    simulated, bus = line
    with simulated.lock:
        for servo in simulated.servos.values():
            servo.set("homing_offset", 0)
            servo.measure(counts, 0.0)
    simulated.faults = LineFaults(**{kind: 0.5}, late_s=0.01)
    found, _ = bus.read_block(bus.table.state)
    for data in found.values():
        assert bus.table.value("present_position", bus.table.state, data) == counts


def test_what_came_spoilt_is_asked_for_again_and_counted(clear):
    simulated, bus = clear
    before = sum(bus.retried.values())
    simulated.faults = LineFaults(corrupt=0.3)
    complete = sum(not bus.read_block(bus.table.state)[1] for _ in range(40))
    assert complete >= 36
    assert sum(bus.retried.values()) - before >= 10


def test_a_lost_servo_is_named_and_the_others_are_still_there(clear):
    simulated, bus = clear
    simulated.faults = LineFaults(lost=[2])
    with pytest.raises(ServoSilent, match=r"joint2 \(servo 2\) does not answer"):
        bus.ping(2)
    assert bus.ping(7) == bus.table.models[MODELS[bus.table.name]].number
    assert bus.read_block(bus.table.state)[1] == [2, 7], "those behind it wait for it"


def test_a_servo_that_is_silent_for_longer_than_a_cycle_may_take_is_waited_for_where_no_cycle_waits(
    clear, monkeypatch
):
    simulated, bus = clear
    # Patience lasts to its end here: the question that brings the line in step is asked once.
    monkeypatch.setattr(bus, "config", replace(bus.config, lost_s=3.0))
    for ask in (lambda: bus.ping(7), lambda: bus.read_block(bus.table.state)):
        simulated.faults = LineFaults(lost=[7])
        back = threading.Timer(1.0, setattr, (simulated, "faults", LineFaults()))
        back.start()
        with bus.patient():
            answer = ask()
        assert answer == bus.table.models[MODELS[bus.table.name]].number or answer[1] == []
        back.join()
    simulated.faults = LineFaults(lost=[7])
    with pytest.raises(ServoSilent):
        bus.ping(7)


def test_a_servo_refuses_what_the_datasheet_forbids(clear):
    _, bus = clear
    if bus.table.name != "dynamixel_x":
        pytest.skip("a Feetech servo's error byte tells of its hardware only")
    with pytest.raises(ServoRefused, match="present_position"):
        bus.write(1, "present_position", 3)
    with pytest.raises(ServoRefused, match="exceeds the limit"):
        bus.write(1, "goal_position", 4096)
    bus.write(1, "torque_enable", 1)
    with pytest.raises(ServoRefused, match="operating_mode"):
        bus.write(1, "operating_mode", 4)


def test_a_late_answer_is_not_taken_for_that_of_another_question(clear):
    simulated, bus = clear
    retried = -1
    with bus.patient():
        while retried != bus.retried[1]:  # until the line is in step
            retried = bus.retried[1]
            assert bus.read(1, "present_position") == 2048
        simulated.faults = LineFaults(
            late=1.0, late_s=0.13
        )  # of a latency of 0.05 s: it is asked for again meanwhile
        assert bus.read(1, "present_position") == 2048
    simulated.faults = LineFaults()
    retried = bus.retried[1]
    assert answered(bus, "present_temperature") == 35
    assert bus.retried[1] > retried, "the answer to the second question came first"
    assert bus.ping(1) == bus.table.models[MODELS[bus.table.name]].number == the_sdks_own_ping(bus)


def answered(bus, name):
    """A register's value, asked for until it is answered: on a busy machine, a few retries may all
    come too early.
    """
    for _ in range(20):
        with suppress(ServoSilent):
            return bus.read(1, name)
    raise AssertionError(f"{name} is never answered")


def the_sdks_own_ping(bus):
    """It takes whatever comes late for its answer, so that it is asked on a line that has been
    still, once it was.
    """
    for _ in range(10):
        time.sleep(0.3)
        bus._recover()
        with suppress(IndexError):  # an answer to another question, which holds less
            model, result, _ = bus._handler.ping(bus.port, 1)
            if result == SUCCESS:
                return model
    raise AssertionError("the SDK's own ping is never answered in time")


def test_a_hot_servo_lets_go_says_so_and_stays_limp_until_it_is_rebooted(clear):
    simulated, bus = clear
    bus.write(1, "torque_enable", 1)
    with simulated.lock:
        simulated.servos[1].set("present_temperature", 85)
        simulated.servos[1].measure(2048.0, 0.0)
    bus.read_block(bus.table.state)
    assert [servo_id for servo_id, alert in bus.alerts.items() if alert] == [1]
    assert bus.read(1, "hardware_error") == 4
    assert bus.read(1, "torque_enable") == 0
    simulated.servos[1].set("present_temperature", 40)
    bus.reboot(1)
    assert bus.read(1, "hardware_error") == 0


def test_a_pulled_plug_is_an_error_of_the_port_and_the_path_comes_back(clear):
    simulated, bus = clear
    path = bus.port.port_name
    simulated.plug(False)
    with pytest.raises(PortLost):
        bus.ping(1)
    with pytest.raises(PortLost, match="plugged in"):
        open_bus(bus.config, path)
    simulated.plug(True)
    again = open_bus(bus.config, path)
    assert again.ping(1)
    bus.port = again.port  # the module's bus goes on with it


def test_a_goal_that_is_far_away_is_headed_for_no_faster_than_the_joints_turn(tmp_path):
    robot = load_robot("wx250s_serial")
    world = BulletWorld(robot, table_camera(48, "wx250s_serial"))
    world.reset(np.array(robot.home_rad), robot.gripper_open_m)
    arm = ServoArm("wx250s_serial", world, tmp_path / "port")  # nobody opens the port
    arm.exchange(world, 0.0)
    waist = arm.bus.servos[1]
    for servo in arm.bus.servos.values():
        servo.set("torque_enable", 1)
    waist.set("goal_position", waist.get("goal_position") + 1024)
    seen_rad = []
    for _ in range(24):
        arm.exchange(world, 4 / PHYSICS_HZ)
        world.advance_steps(4)
        seen_rad.append(world.joint_state().joint_rad[0])
    speeds = np.diff(seen_rad) * PHYSICS_HZ / 4
    assert 0.5 * np.pi < np.median(speeds) < 1.05 * np.pi
    assert seen_rad[-1] < 24 * 4 / PHYSICS_HZ * np.pi * 1.05
    world.close()


@pytest.mark.parametrize("family", MODELS)
def test_turns_are_forgotten_at_a_reboot_and_wrap_in_position_mode(family):
    servo = SimulatedServo(FAMILIES[family], 1, 777, 3 * 4096 + 100.0)
    assert servo.get("present_position") == 100
    servo.measure(3 * 4096 - 50.0, 0.0)
    assert servo.get("present_position") == 4046
    if "extended_position" in servo.family.modes:
        servo.set("operating_mode", servo.family.modes["extended_position"])
        servo.measure(3 * 4096 - 50.0, 0.0)
        assert servo.get("present_position") == -50
    servo.set("goal_position", servo.get("present_position") + 30)
    assert servo.goal_shaft_counts() == 3 * 4096 - 20


def test_packets_take_their_time_on_the_wire(clear):
    _, bus = clear
    for servo_id in IDS:
        bus.write(servo_id, "return_delay", 0)
    began_s = time.monotonic()
    for _ in range(50):
        bus.read_block(bus.table.state)
    _, length = bus.table.block(bus.table.state)
    overhead = 11 if bus.table.name == "dynamixel_x" else 6
    wire_s = 50 * len(IDS) * (overhead + length) * 10 / bus.config.baud
    assert time.monotonic() - began_s >= wire_s
