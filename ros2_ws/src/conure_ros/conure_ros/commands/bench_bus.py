"""`conure bench bus`: the loop of a serial arm on this machine, as lines and as
out/bench/bus.json.
"""

import contextlib
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from conure_core.config.loader import load_config
from conure_core.control.safety import JointCommand
from conure_core.errors import ConfigError, ConureError
from conure_core.robot.description import load_robot
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.processes import ended_with_this_process
from conure_core.servos.bus_config import SIMULATED, load_bus
from conure_core.servos.control_channel import ask
from conure_core.servos.scale import ServoScale
from conure_ros.drivers.arm_loop import ArmLoop, State

SWING_RAD, SWING_PERIOD_S, COMMAND_PERIOD_S = 0.05, 2.0, 0.1


@dataclass(frozen=True)
class BenchBusConfig:
    """What to measure; see conf/bench_bus.yaml."""

    out: str
    robot: str
    port: str
    move: bool | None
    seconds: float
    corrupt: float

    def __post_init__(self) -> None:
        load_bus(self.robot)
        if not (self.seconds >= 1.0 and 0.0 <= self.corrupt <= 1.0):
            raise ConfigError(
                f"seconds must be at least 1, corrupt in 0..1, got {self.seconds}, {self.corrupt}"
            )

    @property
    def simulated(self) -> bool:
        return self.port == SIMULATED


def run(overrides: list[str]) -> None:
    """Measure the loop of a serial arm, jitter and retries.

    Without faults and, on simulated servos, with spoilt packets.
    """
    config = load_config("conure_ros.conf", "bench_bus", BenchBusConfig, overrides)
    with (
        simulated_servos(config.robot)
        if config.simulated
        else contextlib.nullcontext(Path(config.port))
    ) as port:
        results = {"clean": measure(config, port)}
        if config.simulated and config.corrupt:
            ask(port, "faults", corrupt=config.corrupt)
            results[f"corrupt_{config.corrupt:g}"] = measure(config, port)
    for name, figures in results.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    path = Path(config.out)
    write_json(path, {"config": asdict(config), "results": results})
    print(f"written: {path}")


def measure(config: BenchBusConfig, port: Path) -> dict[str, float]:
    """Figures of CycleTimes, with the rate reached and the packets asked for again. Raises:
    RobotError, ConureError.
    """
    loop = ArmLoop(ServoScale(load_bus(config.robot), load_robot(config.robot)), str(port))
    try:
        move = config.simulated if config.move is None else config.move
        if move:
            loop.arm()
        began_s = time.monotonic()
        loop.start()
        while (elapsed_s := time.monotonic() - began_s) < config.seconds:
            if move and loop.state is State.ARMED:
                loop.command(_swing(loop, elapsed_s))
            time.sleep(COMMAND_PERIOD_S)
        if loop.error is not None or loop.state in (State.HALTED, State.UNPLUGGED):
            raise ConureError(f"the loop did not last: {loop.fault or repr(loop.error)}")
    finally:
        loop.close()
    figures = loop.times.figures()
    return {
        "rate_hz": figures["cycles"] / elapsed_s,
        **figures,
        "retried": sum(loop.servos.bus.retried.values()),
    }


def _swing(loop: ArmLoop, elapsed_s: float) -> JointCommand:
    """A step of a slow swing about the middle between where the arm is and its home."""
    home = np.array(loop.robot.home_rad)
    offset_rad = SWING_RAD * math.sin(2 * math.pi * elapsed_s / SWING_PERIOD_S)
    nearer = loop.measured.positions[:-1] + np.clip(
        home - loop.measured.positions[:-1], -SWING_RAD, SWING_RAD
    )
    return JointCommand(nearer + offset_rad, float(loop.measured.positions[-1]), COMMAND_PERIOD_S)


@contextlib.contextmanager
def simulated_servos(robot: str) -> Iterator[Path]:
    """An arm on simulated servos, in a process of its own; its port. Raises: ConureError if it does
    not come up.
    """
    with tempfile.TemporaryDirectory(prefix="conure-servos-") as folder:
        port = Path(folder) / "port"
        words = [sys.executable, "-m", "conure_sim.servos", robot, str(port)]
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, preexec_fn=ended_with_this_process()
        )
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise ConureError(
                    "the simulated servos did not start; pip install 'conure[sim]', or give a port"
                )
            yield port
        finally:
            process.terminate()
            process.wait()
