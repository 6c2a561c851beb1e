"""The simulated arm behind the simulated servos, and the control channel that injects faults."""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from conure_core.errors import ConureError, RobotError, unknown_name
from conure_core.robot.description import load_robot
from conure_core.runtime.json_text import json_text
from conure_core.servos.bus_config import load_bus
from conure_core.servos.control_channel import control_path
from conure_core.servos.scale import ServoScale
from conure_sim.physics.world import World
from conure_sim.servos.bus import LineFaults, VirtualBus
from conure_sim.servos.servo import SimulatedServo

OVERLOAD = 32
PLACED_S = 5.0


class ServoArm:
    """Servos at a serial port that drive the arm of a world.

    A joint holds as long as one of its servos has torque; without it, it turns freely. Until a
    servo has torque for the first time, the arm rests on its stand.
    """

    def __init__(
        self,
        robot: str,
        world: World,
        port: Path,
        seed: int = 0,
    ) -> None:
        """Put servos at the joints of the world's arm.

        Args:
            robot: A robot with a section `bus`, or the path of its YAML file.
            world: After a reset.
            port: Where to link the pseudo-terminal.
            seed: Of the line's faults.
        """
        self.config = load_bus(robot)
        self.scale = ServoScale(self.config, load_robot(robot))
        offsets = np.array([servo.homing_offset_counts for servo in self.config.servos])
        self._homing = self.config.table.homing_sign * offsets
        self._shift = np.zeros(len(offsets))  # counts by which a horn was mounted askew
        self._on_stand = True
        self._heading: np.ndarray | None = None  # present set point of the motors, by joint
        self._jammed: set[int] = set()  # joints that stay where they are whatever their motors do
        self._elapsed_s = 0.0  # of the world: it stalls and catches up with a busy machine
        self._placing = threading.Condition()
        self._wanted_place = dict[str, float]()
        self.bus = VirtualBus(self.config, self._shafts(world).tolist(), port, seed)
        self._apply_settings()
        self._channel = ControlChannel(control_path(port), self._obey)

    def _apply_settings(self) -> None:
        """Set the servos up as the robot's file asks for: a driver finds nothing to write."""
        for servo in self.config.servos:
            simulated = self.bus.servos[servo.id]
            for name, value in self.config.settings(servo).items():
                simulated.set(name, value)
            simulated.reboot()

    def __enter__(self) -> "ServoArm":
        self.bus.__enter__()
        self._channel.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self.bus.__exit__()

    def _positions(self, world: World) -> np.ndarray:
        state = world.joint_state()
        # Fingers can be pushed a little past their range, where the crank's angle is not defined.
        gripper_m = np.clip(state.gripper_m, self.scale.lower[-1], self.scale.upper[-1])
        return np.append(state.joint_rad, gripper_m)

    def _shafts(self, world: World) -> np.ndarray:
        """Positions of the shafts by their encoders alone, (n,) counts, without homing offsets."""
        counts = self.scale.counts(self._positions(world))
        return (counts - self._homing + self._shift).astype(np.float64)

    def exchange(self, world: World, period_s: float) -> None:
        """Let the servos measure the arm, and the arm follow the servos' goals.

        Args:
            world: Whose arm it is; call this once before each physics tick.
            period_s: Length of the tick, s.
        """
        with self._placing:
            if self._wanted_place:
                self._place_arm(world)
        self._measure(world, period_s)
        self._drive(world, period_s)

    def _place_arm(self, world: World) -> None:
        positions = self._positions(world)
        for name, position in self._wanted_place.items():
            positions[self.scale.robot.command_names.index(name)] = position
        world.pose_arm(positions[:-1], float(positions[-1]))
        self.hold_here(world)
        self._wanted_place = {}
        self._placing.notify_all()

    def _measure(self, world: World, since_s: float = 0.0) -> None:
        shafts = self._shafts(world)
        speeds_rad_s = world.joint_state().joint_speed_rad_s
        unit_rad_s = self.config.table.velocity_unit_rad_s
        with self.bus.lock:
            self._elapsed_s += since_s
            servos = list(self.bus.servos.values())
            for servo, config, joint, shaft in zip(
                servos, self.config.servos, self.scale.joint, shafts, strict=True
            ):
                speed_rad_s = speeds_rad_s[joint] if joint < len(speeds_rad_s) else 0.0
                servo.measure(shaft, config.direction * speed_rad_s / unit_rad_s)

    def _drive(self, world: World, period_s: float) -> None:
        """Move the set point to the servos' goals, at most as fast as the URDF lets joints turn."""
        goals, powered = self._goals()
        wanted = self._positions(world)
        held = np.zeros(len(wanted), dtype=bool)
        pairs = list(zip(self.scale.joint, goals, powered, strict=True))
        for joint, goal, on in reversed(pairs):  # of two servos at a joint the first one leads
            if on:
                wanted[joint] = goal
                held[joint] = True

        jammed = list(self._jammed)
        self._on_stand = self._on_stand and not powered.any()
        held |= self._on_stand
        held[jammed] = True
        if self._heading is not None:
            limit_rad = world.arm.velocity_limit_rad_s * period_s
            joints = np.flatnonzero(held[:-1])
            wanted[joints] = _limit_step(wanted, self._heading, limit_rad, joints)
            wanted[jammed] = self._heading[jammed]
        self._heading = wanted

        fingers_held = [held[-1]] * len(world.fingers)
        world.power(np.append(held[:-1], fingers_held))
        world.follow(wanted[:-1], float(wanted[-1]), period_s)

    def _goals(self) -> tuple[np.ndarray, np.ndarray]:
        """Goal, rad or m, and torque, bool, of each servo."""
        with self.bus.lock:
            servos = list(self.bus.servos.values())
            powered = np.array([servo.torque for servo in servos])
            shafts = np.array([servo.goal_shaft_counts() for servo in servos])
        return self.scale.servo_positions(shafts + self._homing - self._shift), powered

    def silent_s(self) -> float:
        """The time since the driver last sent a goal, s."""
        return time.monotonic() - self.bus.last_goal_s

    def hold_here(self, world: World) -> None:
        """Make the present positions the servos' goals, after the arm was moved by hand."""
        self._measure(world)
        self._heading = None
        with self.bus.lock:
            for servo in self.bus.servos.values():
                servo.set("goal_position", servo.get("present_position"))

    # Commands of the control channel.

    def _obey(self, command: str, words: dict[str, Any]) -> dict[str, Any]:
        commands: dict[str, Callable[..., dict[str, Any]]] = {
            "faults": self._set_faults,
            "servo": self._set_servo,
            "plug": self._plug,
            "place": self._place,
            "state": self._state,
        }
        if command not in commands:
            raise unknown_name("command", command, commands, RobotError)
        if command in ("plug", "place"):  # these wait for another thread, which takes the lock
            return commands[command](**words)
        with self.bus.lock:
            return commands[command](**words)

    def _set_faults(self, **wanted: Any) -> dict[str, Any]:
        known = {field.name for field in fields(LineFaults)}
        for name in wanted:
            if name not in known:
                raise unknown_name("fault", name, known, RobotError)
        self.bus.faults = LineFaults(**wanted)
        return {}

    def _set_servo(
        self,
        servo_id: int,
        temperature_c: int | None = None,
        overload: bool = False,
        reboot: bool = False,
        shift_counts: int | None = None,
        registers: dict[str, int] | None = None,
        stuck: list[str] | None = None,
        jammed: bool | None = None,
    ) -> dict[str, Any]:
        servo = self.bus.servos[servo_id]
        if shift_counts is not None:
            self._shift_horn(servo, shift_counts)
        for name, value in (registers or {}).items():
            servo.set(name, value)
        if stuck is not None:
            servo.stuck = frozenset(stuck)
        if jammed is not None:
            index = list(self.bus.servos).index(servo_id)
            joint = int(self.scale.joint[index])
            self._jammed.add(joint) if jammed else self._jammed.discard(joint)
        if temperature_c is not None:
            servo.set("present_temperature", temperature_c)
        if overload:
            servo.fail(OVERLOAD)
        if reboot:
            servo.reboot()
        return {}

    def _shift_horn(self, servo: SimulatedServo, shift_counts: int) -> None:
        """Mount a horn askew, without power: the joint stays, its encoder reads so many counts more
        than before.
        """
        index = list(self.bus.servos).index(servo.servo_id)
        shaft = servo.shaft_counts + shift_counts - self._shift[index]
        self._shift[index] = shift_counts
        servo.power_cycle(shaft)

    def _plug(self, plugged: bool) -> dict[str, Any]:
        self.bus.plug(plugged)
        return {}

    def _place(self, positions: dict[str, float]) -> dict[str, Any]:
        """Move joints by hand, rad and m by name; return when the simulation has done it."""
        for name in positions:
            if name not in self.scale.robot.command_names:
                raise unknown_name("joint", name, self.scale.robot.command_names, RobotError)
        with self._placing:
            self._wanted_place = dict(positions)
            if not self._placing.wait_for(lambda: not self._wanted_place, PLACED_S):
                raise RobotError(f"the simulation did not run for {PLACED_S} s")
        return {}

    def _state(self) -> dict[str, Any]:
        servos = list(self.bus.servos.values())
        shafts = np.array([servo.shaft_counts for servo in servos])
        return {
            "elapsed_s": self._elapsed_s,
            "positions": self.scale.positions(shafts + self._homing - self._shift).tolist(),
            "torque": [servo.torque for servo in servos],
            "goals": [servo.get("goal_position") for servo in servos],
            "packets": self.bus.packets,
        }


def _limit_step(
    wanted: np.ndarray, present: np.ndarray, limit_rad: np.ndarray, joints: np.ndarray
) -> np.ndarray:
    """Goals of these joints, no further from the present ones than a limit; (n,) rad each."""
    limit = limit_rad[joints]
    change = np.clip(wanted[joints] - present[joints], -limit, limit)
    return np.asarray(present[joints] + change)


class ControlChannel:
    """A Unix socket with one JSON object a line, as `{"command": "faults", "corrupt": 0.05}`, and
    one a line as the answer.
    """

    def __init__(self, path: Path, obey: Any) -> None:
        self.path = path
        self._obey = obey
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, name="servo control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer, peer.makefile("rw") as lines:
                for line in lines:
                    lines.write(json_text(self._answer(line)) + "\n")
                    lines.flush()

    def _answer(self, line: str) -> dict[str, Any]:
        try:
            words = json.loads(line)
            return {"ok": True, **self._obey(words.pop("command"), words)}
        except (ConureError, ValueError, KeyError, TypeError) as error:
            return {"ok": False, "message": f"{type(error).__name__}: {error}"}
