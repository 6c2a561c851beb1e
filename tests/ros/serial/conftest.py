"""The servos' end of a line: the simulated arm is another process there."""

import contextlib
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

from conure_core.control.safety import JointCommand
from conure_core.robot.description import load_robot, robot_file
from conure_core.servos.bus_config import load_bus
from conure_core.servos.control_channel import ask
from conure_core.servos.scale import ServoScale
from conure_ros.drivers.arm_loop import ArmLoop
from conure_ros.drivers.serial_arm import SerialArm
from conure_ros.drivers.servo_bus import open_bus
from conure_ros.drivers.settings import SettingsWriter
from conure_sim.servos.bus import VirtualBus

CALM = {
    "latency_s": 0.03,
    "lost_s": 1.0,
    "health_period_s": 0.2,
}  # a busy machine is no fault of the bus
GRIPPER_M, AT_HOME_RAD = 0.03, 0.01
SLOW_RAD_S, SLOW_M_S = 0.5, 0.02
FAMILIES = ("dynamixel_x", "feetech_sts")


@pytest.fixture(scope="session")
def calm():
    return CALM


def robot_yaml(family, folder, **changes):
    """The serial WidowX at full speed, on servos of this family: for Feetech the same joints, a
    servo each.
    """
    data = {
        "arm": str(robot_file("wx250s")),
        "bus": yaml.safe_load(robot_file("wx250s_serial").read_text())["bus"],
    }
    data["bus"] |= {**CALM, "family": family, **changes}
    if family == "feetech_sts":
        first = {servo["joint"]: servo for servo in reversed(data["bus"]["servos"])}
        data["bus"]["servos"] = [
            {**servo, "model": "STS3215", "mode": ""} for servo in first.values()
        ]
    path = folder / f"{family}.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


class Rig:
    """A simulated arm in a process of its own."""

    def __init__(self, family, folder, simulate):
        self.robot_name, self.port = robot_yaml(family, folder), folder / "port"
        self.robot = load_robot(self.robot_name)
        self.home = np.array(self.robot.home_rad)
        words = [sys.executable, "-m", "conure_sim.servos", self.robot_name, str(self.port)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.simulate = partial(simulate, self.port)
        self.family, self.loop, self.faults = family, None, []

    def variant(self, folder, change):
        """Path of the same robot's file, its servos changed: `change` gets them by id, and the
        bus.
        """
        data = yaml.safe_load(Path(robot_yaml(self.family, folder)).read_text())
        change({servo["id"]: servo for servo in data["bus"]["servos"]}, data["bus"])
        path = folder / "variant.yaml"
        path.write_text(yaml.safe_dump(data))
        return str(path)

    def open(self, name=None, silence_s=0.1, write_settings=False):
        scale = ServoScale(load_bus(name or self.robot_name), self.robot)
        writer = SettingsWriter("arm", self.port.parent / "kept") if write_settings else None
        self.loop = ArmLoop(
            scale, str(self.port), silence_s, on_fault=self.faults.append, writer=writer
        )
        self.loop.start()
        return self.loop

    def close(self):
        if self.loop is not None:
            self.loop.close()
            self.loop = None

    def ask(self, command, **words):
        return ask(self.port, command, **words)

    def true_rad(self):
        return np.array(self.ask("state")["positions"])[:-1]

    def go(self, goal_rad, seconds):
        """Steer as control does: a command every 100 ms."""
        start = self.loop.measured.positions[:-1]
        for fraction in np.linspace(0, 1, max(2, int(seconds / 0.1)))[1:]:
            self.loop.command(JointCommand(start + fraction * (goal_rad - start), GRIPPER_M, 0.075))
            time.sleep(0.1)

    def go_home(self, wait_until):
        """Slowly, and only as long as it takes: most tests leave the arm where it was."""
        away = np.abs(self.loop.measured.positions - np.append(self.home, GRIPPER_M))
        self.go(self.home, 0.3 + away[:-1].max() / SLOW_RAD_S + away[-1] / SLOW_M_S)

        def there():
            self.loop.command(JointCommand(self.home, GRIPPER_M, 0.075))
            gripper_m = self.loop.measured.positions[-1]
            away_rad = np.abs(self.true_rad() - self.home).max()
            return away_rad < AT_HOME_RAD and abs(gripper_m - GRIPPER_M) < 1e-3

        wait_until(there, 10, "home")

    def restore(self):
        """Plugged in, faultless, near home, cool."""
        self.close()
        self.ask("plug", plugged=True)
        self.ask("faults")
        self.faults.clear()
        self.ask(
            "place", positions=dict(zip(self.robot.joint_names, self.robot.home_rad, strict=True))
        )
        for servo_id in load_bus(self.robot_name).ids:
            self.ask("servo", servo_id=servo_id, temperature_c=35, stuck=[], jammed=False)


@pytest.fixture(scope="module", params=FAMILIES)
def simulated(request, tmp_path_factory, simulate):
    rig = Rig(request.param, tmp_path_factory.mktemp("servos"), simulate)
    yield rig
    rig.close()
    rig.process.terminate()
    assert rig.process.wait(10) == 0
    assert not rig.port.is_symlink()


@pytest.fixture
def rig(simulated, wait_until):
    """An armed arm at home, whatever the test before left."""
    simulated.restore()
    loop = simulated.open()
    loop.reboot_faulty()
    loop.arm()
    simulated.go_home(wait_until)
    return simulated


class Line:
    """The serial WidowX on servos without an arm behind them, in this process: at home, limp, and
    set up as its file asks for.
    """

    def __init__(self, family, folder):
        self.folder, self.port = folder, folder / "port"
        self.name = robot_yaml(family, folder, port=str(self.port))
        self.config, self.robot = load_bus(self.name), load_robot(self.name)
        self.scale = ServoScale(self.config, self.robot)
        self.home = np.append(self.robot.home_rad, GRIPPER_M)
        counts = self.scale.counts(self.home).astype(float).tolist()
        self.simulated = VirtualBus(self.config, counts, self.port)
        self.servos = self.simulated.servos
        self.set_up()

    def set_up(self):
        for servo in self.config.servos:
            for name, value in self.config.settings(servo).items():
                self.servos[servo.id].set(name, value)
            self.servos[servo.id].reboot()

    @contextlib.contextmanager
    def opened(self, writer=None):
        """The driver on the other end."""
        bus = open_bus(self.config, str(self.port))
        try:
            yield SerialArm(bus, self.scale, writer)
        finally:
            bus.close()

    def memory(self):
        """All bytes of all servos."""
        return {servo_id: bytes(servo.memory) for servo_id, servo in self.servos.items()}

    def held(self):
        """The settings of every servo, by id and register."""
        return {
            servo.id: {
                name: self.servos[servo.id].get(name) for name in self.config.settings(servo)
            }
            for servo in self.config.servos
        }


@pytest.fixture(params=FAMILIES)
def line(request, tmp_path):
    found = Line(request.param, tmp_path)
    with found.simulated:
        yield found
