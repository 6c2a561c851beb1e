"""`conure bench bus`: timing of the loop of a serial arm, printed and in out/bench/bus.json."""

import contextlib
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from conure_core.config.loader import load_config
from conure_core.config.values import SHARE, bounds
from conure_core.control.safety import JointCommand
from conure_core.errors import ConureError
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
    seconds: float = field(metadata=bounds(1.0))
    corrupt: float = field(metadata=SHARE)

    def __post_init__(self) -> None:
        load_bus(self.robot)

    @property
    def simulated(self) -> bool:
        return self.port == SIMULATED


def run(overrides: list[str]) -> None:
    """Measure the loop of a serial arm, jitter and retries.

    Without faults and, on simulated servos, with corrupt packets.
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
    """Run the loop for a while and measure it.

    Args:
        config: Robot, duration, and whether the arm moves.
        port: Path of the serial port.

    Returns:
        CycleTimes.figures, with `rate_hz` and the number of retried packets.

    Raises:
        RobotError: A servo fails its check.
        ConureError: The loop halted.
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
    """A step of a slow swing, near the present pose on the side of home."""
    home = np.array(loop.robot.home_rad)
    offset_rad = SWING_RAD * math.sin(2 * math.pi * elapsed_s / SWING_PERIOD_S)
    nearer = loop.measured.positions[:-1] + np.clip(
        home - loop.measured.positions[:-1], -SWING_RAD, SWING_RAD
    )
    return JointCommand(nearer + offset_rad, float(loop.measured.positions[-1]), COMMAND_PERIOD_S)


@contextlib.contextmanager
def simulated_servos(robot: str) -> Iterator[Path]:
    """An arm of simulated servos in an own process; yields its port. Raises: ConureError if it does
    not start.
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
