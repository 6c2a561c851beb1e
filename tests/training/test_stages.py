"""Stages go on where they were, redo what no longer holds, and never lose what is finished."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from conure_core.config.loader import load_config
from conure_core.errors import DataError
from conure_core.runtime.provenance import git_commit
from conure_core.runtime.resume import identity
from conure_training.demo.demo import DemoConfig, pipeline_steps
from conure_training.demo.display import StepDisplay, duration
from conure_training.demo.pipeline import PipelineStep, read_record, remove_steps, run_steps

NAMES = ("one", "two", "three")


class Watcher:
    def __init__(self):
        self.heard = []

    def on_start(self, stage, seconds_before):
        self.heard.append(("begins", stage.name))

    def on_end(self, stage, seconds, kept):
        self.heard.append(("kept" if kept else "ended", stage.name))


class Work:
    """Three stages that each write a file, and what they were called."""

    def __init__(self, folder):
        self.folder, self.calls, self.fails = folder, [], {}

    def stages(self, **settings):
        return [
            PipelineStep(
                name, name, settings.get(name), (name,), (name,), lambda name=name: self._do(name)
            )
            for name in NAMES
        ]

    def _do(self, name):
        self.calls.append((name, (self.folder / name).exists()))
        (self.folder / name).write_text("begun")
        if name in self.fails:
            raise self.fails.pop(name)

    def run(self, **settings):
        """The names of the stages that were worked on."""
        self.calls.clear()
        run_steps(self.folder, self.stages(**settings), Watcher())
        return [name for name, _ in self.calls]


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path)


def test_a_second_run_does_nothing(work):
    assert work.run() == list(NAMES)
    assert work.run() == []
    assert not run_steps(work.folder, work.stages(), Watcher())


def test_a_finished_stage_says_which_sources_made_it(work):
    work.run()
    assert {read_record(work.folder, name).commit for name in NAMES} == {git_commit()}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, OSError])
def test_an_interrupted_stage_goes_on_with_what_it_wrote(work, stop):
    work.fails["two"] = stop()
    with pytest.raises(stop):
        work.run()
    assert read_record(work.folder, "one").finished
    assert not read_record(work.folder, "two").finished
    assert work.run() == ["two", "three"]
    assert work.calls == [("two", True), ("three", False)]


def test_seconds_of_an_interrupted_stage_are_added_up(work):
    work.fails["one"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        work.run()
    before = read_record(work.folder, "one").seconds
    work.run()
    assert read_record(work.folder, "one").seconds > before > 0


def test_a_changed_setting_redoes_its_stage_and_those_after_it_from_nothing(work):
    work.run(two=1)
    assert work.run(two=2) == ["two", "three"]
    assert work.calls == [("two", False), ("three", False)]
    assert work.run(two=2) == []


def test_a_changed_setting_drops_what_an_interruption_left(work):
    work.fails["two"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        work.run(two=1)
    work.run(two=2)
    assert work.calls[0] == ("two", False)


def test_the_demo_redoes_nothing_in_a_moved_folder_or_for_what_changes_no_result():
    config = load_config("conure_training.conf", "demo", DemoConfig, [])
    rl = replace(config.rl, demos="moved", prior="moved/prior.pt", tensorboard=True)
    moved = replace(
        config,
        out="moved",
        demos=replace(config.demos, out="moved", workers=3),
        prior=replace(config.prior, out="moved", demos="moved", checkpoint_every=7),
        rl=replace(rl, out="moved", checkpoint_every=5),
        export=replace(config.export, agent="moved", out="moved", report="moved"),
        robot=replace(config.robot, bundle="moved", folder="moved"),
    )
    longer = replace(config, rl=replace(config.rl, steps=1 + config.rl.steps))
    before, after, changed = (
        [identity(step.settings) for step in pipeline_steps(one)] for one in (config, moved, longer)
    )
    assert before == after
    assert [a == b for a, b in zip(before, changed, strict=True)] == [
        True,
        True,
        False,
        *3 * [True],
    ]


def test_a_missing_result_redoes_its_stage_and_those_after_it(work):
    work.run()
    (work.folder / "two").unlink()
    assert work.run() == ["two", "three"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": "x", "extra": 1}', "3"])
def test_a_damaged_record_is_named(work, text):
    work.run()
    (work.folder / "stages" / "two.json").write_text(text)
    with pytest.raises(DataError, match=r"stages/two\.json is damaged .*fresh=true"):
        work.run()


def test_starting_over_removes_what_the_stages_wrote_and_nothing_else(work):
    work.run()
    (work.folder / "mine").write_text("keep")
    remove_steps(work.folder, work.stages())
    assert [path.name for path in work.folder.iterdir()] == ["mine"]


def test_no_temporary_file_is_left(work):
    work.run()
    assert sorted(path.name for path in work.folder.rglob("*") if path.is_file()) == sorted(
        [*NAMES, *(f"{name}.json" for name in NAMES)]
    )


def test_estimates_are_scaled_by_what_finished_stages_took(work):
    stages = work.stages()
    display = StepDisplay(
        stages, {"one": 10.0, "two": 20.0, "three": 30.0}, Console(file=io.StringIO())
    )
    assert display.all_left_s() == 60.0
    display.on_end(stages[0], 5.0, kept=False)
    assert display.all_left_s() == pytest.approx(25.0)
    display.on_start(stages[1], seconds_before=4.0)
    assert display.left_s("two") == pytest.approx(6.0, abs=0.5)


def test_the_table_names_every_stage_and_the_time_left(work):
    stages, output = work.stages(), io.StringIO()
    console = Console(file=output, force_terminal=True, width=100)
    with StepDisplay(stages, dict.fromkeys(NAMES, 100.0), console) as display:
        display.on_end(stages[0], 100.0, kept=True)
        display.on_start(stages[1], 0.0)
    text = output.getvalue()
    assert all(name in text for name in NAMES)
    assert "about 3 min" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (4200, "1 h 10 min")],
)
def test_duration_is_for_people(seconds, text):
    assert duration(seconds) == text
