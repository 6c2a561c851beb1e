"""The ledger at work, in processes: it goes on after interruptions, keeps failures, and lets nobody
in twice.
"""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from conure_experiments import command, job
from conure_experiments.job import Held, Job, holder, is_ready
from conure_experiments.ledger import read_record, record_path
from conure_experiments.plan import load_plan
from conure_experiments.runner import Places, missing_entries
from conure_experiments.standalone import run_experiment

from conure_core.cli import call
from conure_core.errors import ConfigError

RATES = """
rates: {learning_steps_s: 30, rollout_steps_s: 90, collecting_steps_s: 170, start_minutes: 0.1, prior_minutes: 0.1,
  experiment_minutes: 0.1, alone_speedup: 1.0}
steps: {Lift: 30}
"""
TOY_PLAN = (
    RATES
    + """
groups:
  - {experiment: shared, name: base, over: {first: {}}, commands: {figures: experiment toy ticks=2}}
  - experiment: toy
    name: "{name}"
    over: {first: {name: {good: ticks=20 meets=10, bad: ticks=-1, long: ticks=20 meets=10}}}
    needs: {base: shared/base}
    commands: {figures: "experiment toy {name} after={base}/figures/figures.json"}
  - {experiment: toy, name: after-bad, over: {first: {}}, needs: {x: toy/bad}, commands: {figures: experiment toy}}
  - {experiment: toy, name: "alone", alone: true, over: {first: {}}, commands: {figures: experiment toy ticks=2}}
"""
)
# A command that counts on from where it was, as the learners do, and notes who else is at work.
TOY_COMMAND = """
import json, os, pathlib, signal, sys, time
words = dict(word.split("=", 1) for word in sys.argv[2:])
out, ticks = pathlib.Path(words["out"]), int(words.get("ticks", 1))
out.mkdir(parents=True, exist_ok=True)
if "after" in words: assert pathlib.Path(words["after"]).is_file()
if ticks < 0: sys.exit("this one is bad")
done = out / "done"
start = int(done.read_text()) if done.is_file() else 0
(out / "at_work").touch()
end_s = time.monotonic() + float(words.get("meets", 0))  # to wait for another one
while True:
    others = [str(path) for path in out.parents[2].glob("*/*/figures/at_work") if path.parent != out]
    if others or time.monotonic() >= end_s: break
    time.sleep(0.02)
try:
    for tick in range(start, ticks):
        time.sleep(0.1)
        (out / "next").write_text(str(tick + 1))
        os.replace(out / "next", done)  # may be killed between any two lines
finally:
    (out / "at_work").unlink()
figures = {"started_at": start, "cores": len(os.sched_getaffinity(0)), "nice": os.nice(0), "others": others}
(out / "figures.json").write_text(json.dumps(figures))
"""
LEDGER = f"""
import sys
sys.path.insert(0, {str(Path(job.__file__).parents[1])!r})
from conure_core.cli import call
from conure_experiments import command, job
job.EXPERIMENT = (sys.argv[1],)
sys.exit(call("experiments", command.run, sys.argv[2:]))
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "plan.yaml").write_text(TOY_PLAN)
    (tmp_path / "toy.py").write_text(TOY_COMMAND)
    monkeypatch.setattr("conure_experiments.job.EXPERIMENT", (str(tmp_path / "toy.py"),))
    return tmp_path


def places(folder: Path) -> Places:
    return Places(folder / "out", folder / "results", 2, 5)


def words_of(folder: Path, *words: str) -> list[str]:
    settings = [f"{name}={folder / name}" for name in ("out", "results")]
    return [
        *words,
        *settings,
        f"plan={folder / 'plan.yaml'}",
        "niceness=5",
        "scale=first",
    ]


def experiments(*words: str) -> int:
    """As `run.py` runs them; returns the exit status."""
    return call("experiments", command.run, list(words))


def begin(folder: Path, *words: str) -> subprocess.Popen:
    """A ledger as a process of its own."""
    program = [sys.executable, "-c", LEDGER, str(folder / "toy.py"), *words_of(folder, *words)]
    return subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def figures(folder: Path, key: str) -> dict:
    record = read_record(record_path(folder / "results", key))
    assert record is not None, f"no record of {key}"
    return record.results["figures"]


def wait_for(condition, limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def at_work(folder: Path) -> list[int]:
    """Processes whose command line names this folder's toy command as a program of their own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parts = path.read_text().split("\0")
        except OSError:
            continue
        if parts[1:2] == [str(folder / "toy.py")]:
            found.append(int(path.parent.name))
    return found


def test_everything_is_filled_but_what_failed_and_what_needs_it(
    toy: Path, capsys: pytest.CaptureFixture
) -> None:
    assert experiments(*words_of(toy, "all")) == 1
    assert "1 entries failed and 1 wait for others; the first: toy/bad" in capsys.readouterr().err
    assert figures(toy, "toy/good")["nice"] == os.nice(0) + 5
    cores = len(os.sched_getaffinity(0))
    assert figures(toy, "toy/good")["cores"] == max(1, cores // 2)
    assert figures(toy, "toy/alone") == {
        "started_at": 0,
        "cores": cores,
        "nice": os.nice(0) + 5,
        "others": [],
    }
    assert figures(toy, "toy/long")["others"] or figures(toy, "toy/good")["others"], (
        "two side by side"
    )
    assert not record_path(toy / "results", "toy/bad").exists()
    assert "this one is bad" in (toy / "out/toy/bad/log.txt").read_text()
    plan = load_plan(str(toy / "plan.yaml"))
    assert [entry.key for entry in missing_entries(plan, plan.select("first"), places(toy))] == [
        "toy/bad",
        "toy/after-bad",
    ]
    assert experiments(*words_of(toy)) == 0
    shown = capsys.readouterr().out
    assert "3 of 5" in shown
    assert "toy/bad failed: figures ended with status 1: this one is bad" in " ".join(shown.split())
    assert not at_work(toy)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_ledger_leaves_no_process_and_goes_on_where_it_was(
    toy: Path, how: signal.Signals, capsys: pytest.CaptureFixture
) -> None:
    first = begin(toy, "toy")
    done = [toy / f"out/toy/{name}/figures/done" for name in ("good", "long")]
    wait_for(lambda: all(path.is_file() and int(path.read_text()) > 3 for path in done))
    first.send_signal(how)
    assert first.wait(30) == {signal.SIGKILL: -9, signal.SIGTERM: 143}.get(how, 130)
    wait_for(lambda: not at_work(toy), 10)
    assert not record_path(toy / "results", "toy/good").exists()
    assert experiments(*words_of(toy, "toy")) == 1  # one of them always fails
    assert figures(toy, "toy/good")["started_at"] > 3
    assert figures(toy, "toy/long")["started_at"] > 3
    assert "shared/base: begun" not in capsys.readouterr().out


def test_an_entry_that_is_at_work_is_refused_by_name(
    toy: Path, capsys: pytest.CaptureFixture
) -> None:
    plan = load_plan(str(toy / "plan.yaml"))
    entry = plan.entries["toy/alone"]
    job = Job(entry, toy / "out", {0}, 0)
    try:
        assert holder(toy / "out", entry) == os.getpid()
        with pytest.raises(Held, match=f"toy/alone is at work in process {os.getpid()}"):
            Job(entry, toy / "out", {0}, 0)
        assert experiments(*words_of(toy, "toy")) == 1
        assert (
            f"toy/alone: left out, toy/alone is at work in process {os.getpid()}"
            in capsys.readouterr().out
        )
    finally:
        job.close()
    assert holder(toy / "out", entry) is None


def test_what_another_plan_left_is_not_taken_for_this_ones(toy: Path) -> None:
    assert experiments(*words_of(toy, "shared")) == 0
    plan_file = toy / "plan.yaml"
    plan_file.write_text(plan_file.read_text().replace("toy ticks=2}}", "toy ticks=3}}", 1))
    entry = load_plan(str(plan_file)).entries["shared/base"]
    assert not is_ready(toy / "out", entry)
    assert experiments(*words_of(toy, "shared")) == 0
    assert figures(toy, "shared/base")["started_at"] == 0
    assert (toy / "out/shared/base/figures/done").read_text() == "3"
    assert experiments(*words_of(toy, "shared", "fresh=true")) == 0
    assert figures(toy, "shared/base")["started_at"] == 0


def test_a_learner_fills_an_entry_for_real(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "plan.yaml").write_text(
        RATES
        + """
groups:
  - experiment: headline
    name: "{method}-{evaluation}-{seed}"
    over: {first: {seed: [3], evaluation: [pick_azure], method: {scratch: method=scratch method.batch_size=8}}}
    commands:
      rl: "rl {method} {evaluation} steps={steps} seed={seed} image_size=16"
"""
    )
    words = [f"{name}={tmp_path / name}" for name in ("out", "results")]
    # A nice process would wait for all the other tests.
    words += [f"plan={tmp_path / 'plan.yaml'}", "scale=first", "niceness=0"]
    began_s = time.monotonic()
    assert experiments("headline", *words) == 0
    record = read_record(record_path(tmp_path / "results", "headline/scratch-pick_azure-3"))
    assert record is not None
    assert record.seed == 3
    assert record.configs["rl"]["target"] == "random_904"
    assert record.results["rl"]["curve"]["steps"][-1] >= 30
    assert 0 < record.seconds["rl"] < time.monotonic() - began_s
    assert str(tmp_path) not in json.dumps([record.commands, record.configs, record.results])
    assert "| headline |" in (tmp_path / "results/README.md").read_text()
    assert experiments("headline", *words) == 0
    assert "0 entries to run" in capsys.readouterr().out


def test_an_experiment_is_found_by_name_and_its_figures_written_with_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "toy_experiments/__init__.py": "",
        "toy_experiments/doubling.py": (
            "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Doubling:\n   "
            " number: int = 1\n\ndef run(config: Doubling) -> dict:\n    return {'twice': 2 *"
            " config.number}\n"
        ),
        "toy_conf/__init__.py": "",
        "toy_conf/doubling.yaml": "number: 3\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = partial(run_experiment, package="toy_experiments", conf="toy_conf")
    path = run("doubling", [f"out={tmp_path / 'made'}"])
    assert json.loads(path.read_text()) == {"config": {"number": 3}, "twice": 6}
    assert json.loads(run("doubling", ["number=5", f"out={tmp_path}"]).read_text())["twice"] == 10
    with pytest.raises(ConfigError, match="number"):
        run("doubling", ["nmber=5", f"out={tmp_path}"])
    with pytest.raises(ConfigError, match="no experiment 'trebling'"):
        run("trebling", [f"out={tmp_path}"])
