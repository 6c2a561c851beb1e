"""`conure demo` at toy size, whole: real processes, real nodes, interrupted in the middle, and
nothing left behind.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from conure_core.cli import main
from conure_core.errors import ConfigError, DataError
from conure_core.robot.description import load_robot
from conure_core.runtime.claim import claimed
from conure_training.demo.demo import run
from conure_training.demo.pipeline import read_record
from conure_training.demo.summary import STAGES, read_summary
from conure_training.evaluation.robot_trials import camera_frames, read_trials
from conure_training.export import export
from conure_training.export.export import ExportConfig

from .test_report import OUTSIDE_KEYS

# The last of those with graphs: its trainings would disturb single nodes beside it.
pytestmark = [pytest.mark.ros, pytest.mark.slow]
ALL = (*STAGES, "report")
TOY = [
    "demos.episodes.Lift=6",
    "demos.episodes.PlaceInTray=2",
    "demos.episodes.PlaceInBox=0",
    "prior.static_scenes=40",
    "prior.encoder_steps=3",
    "prior.joint_steps=2",
    "prior.flow_steps=20",
    "prior.batch_size=8",
    "prior.flow_batch_size=32",
    "prior_rollouts.episodes=2",
    "rl.steps=100",
    "rl.checkpoint_every=50",
    "policy_rollouts.episodes=2",
    "rl.method.batch_size=16",
    "rl.method.critic_pretraining_updates=2",
    "rl.method.learning_rate=1e-6",
    "scratch.batch_size=16",
    "scratch.critic_pretraining_updates=2",
    "export.observations=50",
    "export.calls=50",
    "robot.trials=2",
    "busy_trials=2",
    "robot.timeout_s=1.5",
]
PROGRAM = "import sys; from conure_core.cli import main; sys.exit(main())"
MARK = "CONURE_TEST_MARK"


def start(out, folder, *more):
    """The demo as a process of its own, in a session of its own, with its output in a file."""
    environment = {**os.environ, MARK: str(out), "ROS_LOG_DIR": str(folder / "log")}
    environment.pop("ROS_DOMAIN_ID", None)
    with (folder / "output.txt").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "demo", f"out={out}", *TOY, *more],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def left_behind(out, grace_s=5.0):
    """Processes that a demo in this folder started and that outlive it.

    Multiprocessing's own resource tracker sees its parent gone a moment later; nothing else gets
    that moment either.
    """
    deadline_s = time.monotonic() + grace_s
    while (found := living(out)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return found


def living(out):
    """Processes with this demo's mark in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if (
                process.name.isdigit()
                and f"{MARK}={out}".encode() in (process / "environ").read_bytes()
            ):
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                found += [] if state == "Z" else [int(process.name)]
        except OSError:
            continue
    return found


def wait_until(condition, process, timeout_s=120.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "the demo ended too early"
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A demo interrupted while both learners train, then run to its end: folder, output of both,
    records between.
    """
    folder = tmp_path_factory.mktemp("toy")
    out = folder / "demo"
    process = start(out, folder)
    wait_until(
        lambda: all((out / "rl" / f"{name}.log").exists() for name in ("latent", "scratch")),
        process,
    )
    time.sleep(2.0)
    os.killpg(process.pid, signal.SIGINT)
    status = process.wait(30)
    interrupted = {
        "status": status,
        "output": (folder / "output.txt").read_text(),
        "left": left_behind(out),
        "records": {name: read_record(out, name) for name in ALL},
        "temporary": [path.name for path in out.rglob("*.tmp")],
    }
    process = start(out, folder)
    status = process.wait(240)
    finished = {
        "status": status,
        "output": (folder / "output.txt").read_text(),
        "left": left_behind(out),
    }
    return out, interrupted, finished


def test_ctrl_c_leaves_no_process_and_no_half_written_file(runs):
    _, interrupted, _ = runs
    assert interrupted["status"] == 130, interrupted["output"]
    assert "the same command goes on from there" in interrupted["output"]
    assert "Traceback" not in interrupted["output"]
    assert interrupted["left"] == []
    assert interrupted["temporary"] == []


def test_started_again_it_keeps_finished_stages_and_goes_on(runs):
    out, interrupted, finished = runs
    assert finished["status"] == 0, finished["output"]
    before = interrupted["records"]
    assert [name for name in ALL if before[name] and before[name].finished] == [
        "demonstrations",
        "prior",
    ]
    assert before["rl"] is not None
    assert all(read_record(out, name) == before[name] for name in ("demonstrations", "prior"))
    assert re.search(r"step 3/6, .*resumed", finished["output"])
    assert read_record(out, "rl").seconds > before["rl"].seconds
    assert finished["left"] == []


def test_summary_has_every_key_and_the_report_stands(runs):
    out, _, _ = runs
    summary = read_summary(out)
    assert not OUTSIDE_KEYS - set(summary)
    assert set(summary["stage_seconds"]) == set(ALL)
    for name in (
        "prior_success_any",
        "prior_success",
        "scratch_success",
        "policy_success_sim",
        "policy_success_ros",
    ):
        assert summary[name]["trials"] == 2
        assert 0 <= summary[name]["low"] <= summary[name]["rate"] <= summary[name]["high"] <= 1
    assert 0 < summary["capture_to_command_ms_p50"] < summary["control_period_ms"]
    assert summary["onnx_action_max_abs_diff"] <= 1e-5
    assert (out / "report.html").read_text().count("<svg") == 5


def test_trials_are_recorded(runs):
    out, _, _ = runs
    trials = read_trials(out / "trials")
    assert len(trials) == 2
    for trial in trials:
        assert camera_frames(trial.recording, 3)[0].shape == (48, 48, 3)


def written(out):
    """When every file was."""
    files = [path for path in out.rglob("*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in files}


def test_started_once_more_it_does_nothing(runs, capsys):
    out, _, _ = runs
    before = written(out)
    run([f"out={out}", *TOY])
    assert "everything was finished before" in capsys.readouterr().out
    assert before == written(out)


@pytest.fixture
def copy(runs, tmp_path):
    """A finished demo of one's own to damage: places do not count as settings."""
    return shutil.copytree(runs[0], tmp_path / "demo", symlinks=True)


def test_a_damaged_stage_output_is_named_by_what_needs_it(copy, capsys):
    (copy / "report.html").unlink()
    (copy / "trials" / "trials.json").write_text('{"format": 1, "tri')
    assert main(["demo", f"out={copy}", *TOY]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(
        r"conure demo: \S+trials\.json is damaged \(.*\); remove it and run the trials again\n",
        error,
    )
    assert not (copy / "report.html").exists()
    assert all(read_record(copy, name).finished for name in STAGES)


def test_a_damaged_policy_stops_the_export(copy):
    policy = copy / "rl" / "latent" / "policy.pt"
    policy.write_bytes(policy.read_bytes()[: policy.stat().st_size // 2])
    (copy / "export.json").unlink()
    with pytest.raises(DataError, match=r"latent/policy\.pt is damaged"):
        run([f"out={copy}", *TOY])


def test_a_second_demo_in_the_same_folder_is_refused(copy):
    with (
        claimed(copy, "conure demo"),
        pytest.raises(ConfigError, match="is being written by 'conure demo'"),
    ):
        run([f"out={copy}", *TOY])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("target=teapot", "target 'teapot' is not among the test objects"),
        ("robot.trials=0", "robot.trials must be a whole number from 1"),
        ("rl.steps=0", "rl.steps must be a whole number from 1"),
        ("demos.episods.Lift=3", "demos.episods"),
    ],
)
def test_a_bad_setting_is_refused_before_anything_is_written(tmp_path, override, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        run([f"out={tmp_path / 'demo'}", override])
    assert not (tmp_path / "demo").exists()


def exporting(out, **changes):
    values = {
        "agent": str(out / "rl" / "latent" / "policy.pt"),
        "out": str(out / "another"),
        "demos": "",
        "metrics": str(out / "prior" / "metrics.json"),
        "report": "",
        "task": "Lift",
        "name": "",
        "golden": 2,
        "observations": 12,
        "calls": 20,
        "seed": 0,
    }
    return ExportConfig(**{**values, **changes})


def test_the_bundle_knows_the_held_out_quantiles_and_what_trained_it(runs):
    spec = json.loads((runs[0] / "bundle" / "spec.json").read_text())
    assert set(spec["log_likelihood_thresholds"]) == {"p01", "p05", "p50"}
    assert "'method': {'name': 'latent'" in spec["training"]["config"]


def test_observations_to_check_with_can_come_from_the_environment(runs):
    seen = export._simulated_observations(exporting(runs[0]), load_robot("wx250s").contract(48))
    assert seen["image"].shape == (12, 48, 48, 3)
    assert len(np.unique(seen["proprio"], axis=0)) == 12
