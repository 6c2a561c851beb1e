"""`conure trials run plan=PLAN.yaml`: a person resets and labels, the policies stay hidden."""

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.signals import SignalHandlerOptions

from conure_core.config.loader import load_config
from conure_core.config.values import check_values
from conure_core.errors import ConfigError, RobotError
from conure_msgs.srv import StopEpisode
from conure_ros.commands.stop import say
from conure_ros.commands.stopping import start_ros
from conure_ros.comms.domains import join_running_graph
from conure_ros.comms.lifecycle import shut_down
from conure_ros.teleop.terminal import keyboard, require_terminal
from conure_ros.trials.arm import TrialArm
from conure_ros.trials.dialogue import LABEL_KEYS, Dialogue, Keys, TerminalGone
from conure_ros.trials.journal import FAILURE, INVALID, SUCCESS, Label
from conure_ros.trials.order import PlannedTrial
from conure_ros.trials.plan import load_plan
from conure_ros.trials.session import Session, open_session, relabel

UNLABELLED = "unlabelled"
"""Label of a recording whose trial the person labels later; the journal's labels count."""
POLL_S = 0.02


@dataclass(frozen=True)
class TrialsRunConfig:
    """The settings of `conure trials run`."""

    plan: str = ""
    """PLAN.yaml, with policies, scenes, number of trials and operator."""
    folder: str = "out/planned_trials"
    """Folder for plan.json, key.json and journal.jsonl; the recorder has a folder of its own."""
    namespace: str = ""
    """Namespace of the graph."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


@dataclass(frozen=True)
class TrialsLabelConfig:
    """The settings of `conure trials label`."""

    folder: str = "out/planned_trials"
    """Folder of the trials."""
    trial: int = field(default=0)
    """Number of the trial, from 1 on."""
    label: str = ""
    """success, failure or invalid."""
    reason: str = ""
    """Why it failed or is invalid."""
    operator: str = ""
    """Who labels."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


def run(overrides: list[str]) -> None:
    """Run planned, blinded trials of several policies beside a running graph.

    Raises: ConfigError without a plan or a terminal, or if another process holds the folder;
    RobotError if a node fails.
    """
    config = load_config("conure_ros.conf", "trials_run", TrialsRunConfig, overrides)
    if not config.plan:
        raise ConfigError("conure trials run needs a plan: plan=PLAN.yaml (docs/evaluate.md)")
    loaded = load_plan(Path(config.plan))
    require_terminal("trials run")
    # A closed terminal ends the input; the arm must be told to hold first.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with open_session(loaded, Path(config.folder)) as session:
        join_running_graph()
        # Signals raise here instead of ending the context: the arm must be told to hold.
        start_ros(config.namespace, signal_handler_options=SignalHandlerOptions.NO)
        try:
            with keyboard() as keys:
                TrialRun(session, keys).run()
        finally:
            shut_down()


def run_label(overrides: list[str]) -> None:
    """Label a planned trial after the fact; the first label stays beside it."""
    config = load_config("conure_ros.conf", "trials_label", TrialsLabelConfig, overrides)
    if not config.operator.strip():
        raise ConfigError("operator must name who labels, got ''; give operator=NAME")
    relabel(Path(config.folder), config.trial, Label(config.label, config.operator, config.reason))
    say(f"trial {config.trial} is labelled {config.label} by {config.operator}, beside the first")


class Left(Exception):
    """The person ends the session; the same command goes on."""


class TrialRun:
    """Goes through the trials of a session with a person at the keys."""

    def __init__(self, session: Session, keys: Keys) -> None:
        self.session, self.operator = session, session.plan.operator
        self.arm = TrialArm(self._look)
        self.dialogue = Dialogue(keys, self.arm.spin, self._stop)
        self.is_recording = False

    def run(self) -> None:
        """Run until all trials are labelled, or the person leaves. The arm holds afterwards."""
        say("space stops the arm at any time; while you type a reason, it is text")
        try:
            self.arm.rest()
            if self.session.was_interrupted:
                self.arm.abandon_recording()
            while not self._is_over():
                self._take(self.session.next_trial())
        except (Left, TerminalGone):
            done, total = self.session.finished, len(self.session.trials)
            say(f"{done} of {total} trials are labelled; the same command goes on from there")
        finally:
            self.arm.leave(self.is_recording)

    def _is_over(self) -> bool:
        """Whether all is labelled, and the person does not want the last label back."""
        if self.session.next_trial() is not None:
            return False
        say(f"all {len(self.session.trials)} trials are labelled")
        if self.dialogue.choose("Enter ends | u undo the last label", "\nu") == "u":
            self._undo()
            return False
        say(f"conure trials report folder={self.session.folder} opens the key")
        return True

    def _look(self) -> None:
        """While a service is awaited, space is heard; other keys wait for nothing."""
        self.dialogue.poll()

    def _stop(self) -> None:
        self.arm.begin_stop()
        say("STOP; conure keys, Ctrl-R, clears it")

    def _take(self, trial: PlannedTrial | None) -> None:
        """Label a trial that waits for it, or run it."""
        if trial is None:
            return
        if self.session.journal.state(trial.number).awaits_label:
            say(f"{self.session.describe(trial)} has no label")
            self._label(trial, self._ask_label())
            return
        try:
            if self._prepare(trial):
                self._attempt(trial)
        except TerminalGone:
            raise
        except RobotError as error:
            self._cut_off(trial, str(error))

    def _prepare(self, trial: PlannedTrial) -> bool:
        """Load, home, reset; True once the person says that the scene lies."""
        say(self.session.describe(trial))
        if not self._confirm("Enter sends the arm home, hands off"):
            return False
        alias = trial.code if self.session.plan.blinded else ""
        bundle_hash = self.session.loaded.hashes[trial.policy]
        self.arm.load(self.session.bundle(trial), bundle_hash, alias)
        self.arm.home()
        scene = self.session.plan.scene(trial.scene)
        laid = self.arm.lay_scene(scene, self.session.plan.task)
        how = "is laid" if laid else "lies"
        return self._confirm(f"when {scene} {how}: Enter lets the policy move")

    def _confirm(self, question: str) -> bool:
        """True at Enter; False if a label was undone. Raises: Left."""
        key = self.dialogue.choose(f"{question} | u undo the last label | q quit", "\nuq")
        if key == "q":
            raise Left
        if key == "u":
            self._undo()
        return key == "\n"

    def _undo(self) -> None:
        undone = self.session.journal.undo(self.operator)
        say("there is no label to undo" if undone is None else f"trial {undone} has no label now")

    def _attempt(self, trial: PlannedTrial) -> None:
        """Record, let the policy act, ask for the label. Raises: RobotError."""
        journal = self.session.journal
        attempt = journal.begin(trial.number, self.operator)
        name = time.strftime(f"trial_{trial.number:04d}_{attempt}_%Y%m%d_%H%M%S")
        self.arm.record(name, {**self.session.metadata(trial), "attempt": attempt})
        self.is_recording = True
        key, duration_s, fault = self._act()
        label = LABEL_KEYS.get(key, "")
        words = StopEpisode.Request
        kept = {SUCCESS: words.SUCCESS, FAILURE: words.FAILURE, INVALID: words.ABORTED}
        word = words.ABORTED if fault else kept.get(label, UNLABELLED)
        recording = self.session.file_name(self.arm.keep(word))
        self.is_recording = False
        if fault:
            journal.cut_off(trial.number, fault, recording)
            say(f"trial {trial.number} is invalid, and runs again: {fault}")
            return
        journal.end(trial.number, recording, duration_s)
        self._label(trial, label or self._ask_label())

    def _act(self) -> tuple[str, float, str]:
        """The key that ended the motion, seconds under the policy, and the fault if there was one.

        The arm holds afterwards. Raises: RobotError.
        """
        limit_s = self.session.plan.time_limit_s
        self.arm.follow_policy()
        say(f"the policy moves; s success | f failure | i invalid | at most {limit_s:g} s")
        began_s, key, fault = time.monotonic(), "", ""
        while time.monotonic() - began_s < limit_s and not key and not fault:
            self.arm.spin(POLL_S)
            pressed = self.dialogue.poll().lower()
            key = pressed if pressed in LABEL_KEYS else ""
            fault = self.arm.fault()
        duration_s = time.monotonic() - began_s
        if not self.arm.is_stopped:
            self.arm.hold()
        return key, duration_s, fault

    def _ask_label(self) -> str:
        return LABEL_KEYS[self.dialogue.choose("s success | f failure | i invalid", "sfi")]

    def _label(self, trial: PlannedTrial, label: str) -> None:
        reason = ""
        if label == FAILURE:
            reason = self.dialogue.choose_reason(self.session.reasons)
        elif label == INVALID:
            reason = self.dialogue.explain("why is it invalid? then Enter")
        self.session.journal.label(trial.number, Label(label, self.operator, reason))
        done, total = self.session.finished, len(self.session.trials)
        say(f"trial {trial.number}: {label}{': ' + reason if reason else ''}; {done} of {total}")

    def _cut_off(self, trial: PlannedTrial, why: str) -> None:
        """A node failed: what runs is invalid, and the person decides when to go on.

        Raises: RobotError if the arm cannot be told to hold.
        """
        if self.session.journal.state(trial.number).is_open:
            self.session.journal.cut_off(trial.number, why)
            why = f"trial {trial.number} is invalid, and runs again: {why}"
        say(why)
        self.arm.rest()
        if self.is_recording:
            self.arm.abandon_recording()
            self.is_recording = False
