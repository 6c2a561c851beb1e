"""Evaluation trials on the robot graph, run as a process and read as files.

So training needs nothing of ROS.
"""

import itertools
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from numpy.typing import NDArray

from conure_core.config.values import COUNT, SEED, bounds, check_values
from conure_core.errors import ConureError, DataError
from conure_core.runtime.atomic_files import damaged, read_json, write_json
from conure_core.runtime.processes import TIED, ended_with_this_process
from conure_core.runtime.resume import CHANGES_NO_RESULT
from conure_sim.envs.tabletop import TabletopEnv
from conure_training.evaluation.outcomes import RUN_AGAIN, TRIALS_FILE, require_format
from conure_training.runtime.parallel import progress_bar

LOAD_FILE = "load.json"
IMAGE_TOPICS = ("policy/image", "camera/image_raw")
"""What the policy saw; and, in recordings without that, what the camera sent."""
SERIES = ("capture_to_command_ms", "inference_ms", "log_likelihood")
GRACE_S = 20.0
FINISHED = re.compile(r"trial (\d+)/\d+ seed \d+: (.*)")
CONURE = (sys.executable, "-c", "import sys; from conure_core.cli import main; sys.exit(main())")


@dataclass(frozen=True)
class TrialsConfig:
    """Trials through the graph `evaluate`."""

    bundle: str = field(metadata=CHANGES_NO_RESULT)
    """Folder of the bundle."""

    folder: str = field(metadata=CHANGES_NO_RESULT)
    """Folder for trials.json and the recordings."""

    robot: str
    """Name of an arm, or path of its YAML file."""

    task: str
    """Name of the task."""

    target: str
    """Object to act on; empty: drawn."""

    objects: str
    """Name of an object set, or path of a folder."""

    image_size: int = field(metadata=COUNT)
    """Height and width of the images, px."""

    trials: int = field(metadata=COUNT)
    """Number of trials."""

    first_seed: int = field(metadata=SEED)
    """Seed of the first trial; the next ones count up."""

    timeout_s: float = field(metadata=bounds(0.0, 86_400.0))
    """Limit of a trial; 0: the task's own."""

    noise_scale: float = field(metadata=bounds(0.0, 3.0))
    """Scale of the policy's noise: 1 samples it, 0 takes its mean."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))

    def overrides(self) -> list[str]:
        """Give the words for `conure up`."""
        values = {
            "graph": "evaluate",
            "bundle": self.bundle,
            "folder": self.folder,
            "robot": self.robot,
            "task": self.task,
            "target": self.target,
            "objects": self.objects,
            "image_size_px": self.image_size,
            "trials": self.trials,
            "first_seed": self.first_seed,
            "timeout_s": self.timeout_s,
            "noise_scale": self.noise_scale,
        }
        return [f"{key}={_quote(value)}" for key, value in values.items()]


@dataclass(frozen=True)
class RobotTrial:
    """One trial."""

    seed: int
    """Seed of the scene."""

    target: str
    """Object to act on."""

    success: bool
    """True if the task was solved in time."""

    duration_s: float
    """Duration of the trial."""

    recording: Path
    """Its MCAP file."""

    capture_to_command_ms: tuple[float, ...]
    """Every tick's time from the image's capture to the joint command."""

    inference_ms: tuple[float, ...]
    """Every tick's inference time in the policy node."""

    log_likelihood: tuple[float, ...]
    """Every action's log-likelihood under the prior, nats."""

    safety_changes: int
    """Commands that the safety gate changed."""


def run_trials(config: TrialsConfig, log: Path, label: str = "trials on the robot") -> None:
    """Bring the robot graph up and run the trials that are not finished yet.

    The mean number of busy cores goes to `load.json` beside the trials. The nodes end with this
    call, however it ends.

    Args:
        config: The trials.
        log: File that every node's output is appended to.
        label: Of the progress bar.

    Raises:
        ConureError: The graph failed, with the reason that `conure up` gives.
    """
    folder = Path(config.folder)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream, progress_bar() as bar:
        finished = len(read_trials(folder)) if (folder / TRIALS_FILE).is_file() else 0
        task = bar.add_task(label, total=config.trials, completed=finished, note="starting")
        graph = _start_graph(config)
        last = ""
        psutil.cpu_percent()  # the next call measures from here on
        try:
            for last in graph.stdout or ():
                stream.write(last)
                stream.flush()
                if found := FINISHED.search(last):
                    bar.update(task, completed=int(found[1]), note=found[2].split(", ")[-1])
            status = graph.wait()
        finally:
            _end(graph)
        if status != 0:
            reason = last.strip().removeprefix("conure up: ") or f"it ended with status {status}"
            raise ConureError(f"the robot graph failed: {reason} (all output: {log})")
    busy_cores = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1)
    write_json(folder / LOAD_FILE, {"busy_cores": round(busy_cores, 3)})


def _start_graph(config: TrialsConfig) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*CONURE, "up", *config.overrides()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=ended_with_this_process(signal.SIGINT),
    )


@contextmanager
def busy_simulations() -> Iterator[None]:
    """Inside, keep every core busy: one simulated environment each, as fast as it can step."""
    processes = [TIED.Process(target=_simulate, daemon=True) for _ in os.sched_getaffinity(0)]
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _simulate() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    env = TabletopEnv()
    for seed in itertools.count():
        env.reset(seed=seed)
        for _ in range(env.max_steps):
            env.step(env.action_space.sample())


def _end(graph: subprocess.Popen[str]) -> None:
    """End `conure up` by SIGINT, or kill it: its nodes end with it either way."""
    if graph.poll() is None:
        graph.send_signal(signal.SIGINT)
        try:
            graph.communicate(timeout=GRACE_S)  # reads on: a full pipe would block the graph
        except subprocess.TimeoutExpired:
            os.killpg(graph.pid, signal.SIGKILL)
            graph.wait()


def read_trials(folder: Path) -> list[RobotTrial]:
    """Read the finished trials. Raises: DataError if their file is missing or damaged."""
    path = folder / TRIALS_FILE
    try:
        data = read_json(path, RUN_AGAIN)
        require_format(path, data)
        return [_trial(folder, row) for row in data["trials"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error, RUN_AGAIN) from error


def _trial(folder: Path, row: dict[str, Any]) -> RobotTrial:
    measures = row["measures"]
    series = {name: tuple(map(float, measures[name])) for name in SERIES}
    return RobotTrial(
        seed=int(row["seed"]),
        target=str(row["target"]),
        success=bool(row["success"]),
        duration_s=float(row["duration_s"]),
        recording=folder / row["recording"],
        safety_changes=int(measures["safety_changes"]),
        **series,
    )


def camera_frames(recording: Path, count: int) -> list[NDArray[np.uint8]]:
    """Read what the policy saw, evenly spread from the first image to the last.

    Args:
        recording: An MCAP file.
        count: How many, at most.

    Returns:
        Images (h, w, 3) uint8, sRGB.

    Raises:
        DataError: The file cannot be read, or has no image on a topic of IMAGE_TOPICS.
    """
    try:
        frames = list(_frames(recording))
    except (OSError, McapError, ValueError, EOFError, struct.error) as error:
        raise DataError(
            f"{recording} is not a readable recording ({error or type(error).__name__})"
        ) from error
    if not frames:
        raise DataError(f"{recording} holds no image on {' or '.join(IMAGE_TOPICS)}")
    index = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    return [frames[i] for i in index]


def _frames(recording: Path) -> Iterator[NDArray[np.uint8]]:
    with recording.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        topic = _image_topic(reader.get_summary())
        if not topic:
            return
        for _, _, _, image in reader.iter_decoded_messages(topics=[topic]):
            if image.encoding != "rgb8":
                raise DataError(
                    f"{recording}: images on {topic} are {image.encoding}, expected rgb8, as"
                    " policy_node and the simulated camera publish"
                )
            pixels = np.frombuffer(bytes(image.data), np.uint8)
            yield pixels.reshape(image.height, image.width, 3)


def _image_topic(summary: Any) -> str:
    """The first of IMAGE_TOPICS with messages, in whatever namespace; '' if there is none."""
    if summary is None or summary.statistics is None:
        return ""
    counts = summary.statistics.channel_message_counts
    held = sorted(
        channel.topic for channel in summary.channels.values() if counts.get(channel.id, 0)
    )
    return next((name for end in IMAGE_TOPICS for name in held if name.endswith(f"/{end}")), "")


def _quote(value: Any) -> str:
    """Quote a value for Hydra's override grammar, whatever characters a path has."""
    if not isinstance(value, str):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
