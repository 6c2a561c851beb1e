"""The running graph as trials need it: bundles changed, homed, recorded, watched."""

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from conure_core.errors import RobotError
from conure_msgs.msg import Mode, PolicyCommand
from conure_msgs.srv import ResetScene, SetMode, StartEpisode, StopEpisode
from conure_ros.cameras.encodings import TOPIC
from conure_ros.commands.stopping import Stopper
from conure_ros.comms.messages import key_values, mode_message
from conure_ros.comms.qos import NEWEST
from conure_ros.comms.service_names import (
    HOME,
    SCENE_RESET,
    SET_MODE,
    START_EPISODE,
    STOP_EPISODE,
    name_hint,
)
from conure_ros.recording.writer import encode_metadata
from conure_ros.trials.plan import Scene

NODES = ("control", "policy")
"""In the order in which they come up. Both must know the bundle: control refuses any other's
commands.
"""
DOWN = {
    State.PRIMARY_STATE_ACTIVE: Transition.TRANSITION_DEACTIVATE,
    State.PRIMARY_STATE_INACTIVE: Transition.TRANSITION_CLEANUP,
}
UP = (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
HOLD = mode_message(Mode.HOLD)
POLL_S = 0.02
OFFERED_S = 20.0
CALL_S = 60.0
HOME_S = 120.0
LAST_CALL_S = 2.0
SILENT_S = 3.0
"""Without images or commands for so long, a trial is cut off."""


class TrialArm(Stopper):
    """Calls services one after the other; `turn` runs while it waits, so that a stop is heard."""

    def __init__(self, turn: Callable[[], None]) -> None:
        super().__init__("trials")
        self._turn = turn
        self._stopping = False
        self._asked_stop_s = 0.0
        self._image_s = self._command_s = -float("inf")
        self._bundle_hash = ""
        kinds = {
            SET_MODE: SetMode,
            HOME: Trigger,
            SCENE_RESET: ResetScene,
            START_EPISODE: StartEpisode,
            STOP_EPISODE: StopEpisode,
            **{f"{node}/get_state": GetState for node in NODES},
            **{f"{node}/change_state": ChangeState for node in NODES},
            **{f"{node}/set_parameters": SetParameters for node in NODES},
        }
        self._asked_of = {name: self.create_client(kind, name) for name, kind in kinds.items()}
        # Serialized: only their coming counts.
        self.create_subscription(Image, TOPIC, self._on_image, NEWEST, raw=True)
        self.create_subscription(PolicyCommand, "command/policy", self._on_command, NEWEST)

    def _on_image(self, cdr: bytes) -> None:
        self._image_s = time.monotonic()

    def _on_command(self, message: PolicyCommand) -> None:
        self._command_s, self._bundle_hash = time.monotonic(), message.bundle_hash

    # A stop, and what goes on all the time.

    def begin_stop(self) -> None:
        """Request a stop, in every turn until control confirms it."""
        if not self._stopping:
            self._stopping, self._asked_stop_s = True, time.monotonic()
        self.ask()

    def spin(self, wait_s: float = 0.0) -> None:
        """Receive what came, send the heartbeat, repeat a stop until it is confirmed."""
        rclpy.spin_once(self, timeout_sec=wait_s)
        self.beat()
        if self._stopping:
            self.ask()
            self._stopping = not self.control.confirms_stop(self._asked_stop_s)

    @property
    def is_stopped(self) -> bool:
        """Whether control says that the arm is stopped, or a stop is being requested."""
        state = self.control.state
        return self._stopping or (state is not None and bool(state.stopped))

    # Services.

    def call(self, service: str, /, *, limit_s: float = CALL_S, **fields: Any) -> Any:
        """Call a service and wait for its answer.

        Raises: RobotError if nobody offers it, no answer comes in time, or it is a refusal.
        """
        client = self._asked_of[service]
        self._wait(client.service_is_ready, OFFERED_S, lambda: self._absent(service))
        future = client.call_async(client.srv_type.Request(**fields))
        silent = f"the service '{service}' did not answer within {limit_s:g} s"
        self._wait(future.done, limit_s, lambda: silent)
        response = future.result()
        if not getattr(response, "success", True):
            raise RobotError(f"{service}: {getattr(response, 'message', 'refused')}")
        return response

    def _absent(self, service: str) -> str:
        name = self._asked_of[service].srv_name
        hint = name_hint(self, service)
        return f"no node offers '{name}'{hint}; start conure up graph=robot or graph=sim first"

    def _wait(self, done: Callable[[], bool], limit_s: float, why: Callable[[], str]) -> None:
        deadline_s = time.monotonic() + limit_s
        while not done():
            self._turn()
            self.spin(POLL_S)
            if time.monotonic() > deadline_s:
                raise RobotError(why())

    # What a trial does, in this order.

    def hold(self) -> None:
        """Ask control to hold. Raises: RobotError."""
        self.call(SET_MODE, mode=HOLD)

    def rest(self) -> None:
        """Hold where control is active; an interrupted session may have left it inactive.

        Raises: RobotError, such as that no graph runs.
        """
        if self._state("control") == State.PRIMARY_STATE_ACTIVE:
            self.hold()

    def abandon_recording(self) -> None:
        """End the recording that an interrupted trial left, if there is one."""
        with contextlib.suppress(RobotError):
            self.keep(StopEpisode.Request.ABORTED)

    def leave(self, is_recording: bool) -> None:
        """Ask for a hold, and for the end of the recording, as the process ends.

        Args:
            is_recording: Whether a trial is being recorded.
        """
        requests: list[tuple[str, Any]] = [(SET_MODE, SetMode.Request(mode=HOLD))]
        if is_recording:
            label = StopEpisode.Request.ABORTED
            requests.append((STOP_EPISODE, StopEpisode.Request(label=label)))
        sent = [self._asked_of[name].call_async(request) for name, request in requests]
        deadline_s = time.monotonic() + LAST_CALL_S
        while time.monotonic() < deadline_s and not all(future.done() for future in sent):
            rclpy.spin_once(self, timeout_sec=POLL_S)

    def load(self, bundle: Path, bundle_hash: str, alias: str) -> None:
        """Give another bundle to policy and control, through their lifecycles, from any state.

        Args:
            bundle: Folder of the bundle.
            bundle_hash: Its SHA-256, which the policy's commands must name.
            alias: What log and diagnostics call it; empty: its own name.

        Raises:
            RobotError: A node refuses; its log says why.
        """
        self.rest()
        for node in reversed(NODES):
            while transition := DOWN.get(self._state(node)):
                self._change(node, transition)
        for node in NODES:
            self._set(node, {"bundle": str(bundle), "bundle_alias": alias})
        for transition in UP:
            for node in NODES:
                self._change(node, transition)
        self._bundle_hash = ""
        mute = "the policy sends no commands with its new bundle; does it see images?"
        self._wait(lambda: bool(self._bundle_hash), CALL_S, lambda: mute)
        if self._bundle_hash != bundle_hash:
            raise RobotError(
                f"the policy runs the bundle {self._bundle_hash[:8]}, expected {bundle_hash[:8]};"
                " does another policy run beside it?"
            )

    def _state(self, node: str) -> int:
        return int(self.call(f"{node}/get_state").current_state.id)

    def _change(self, node: str, transition: int) -> None:
        try:
            self.call(f"{node}/change_state", transition=Transition(id=transition))
        except RobotError as error:
            raise RobotError(f"{node} did not change its bundle; its log says why") from error

    def _set(self, node: str, values: Mapping[str, str]) -> None:
        parameters = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        results = self.call(f"{node}/set_parameters", parameters=parameters).results
        refused = [result.reason for result in results if not result.successful]
        if refused:
            raise RobotError(f"{node}: {'; '.join(refused)}")

    def home(self) -> None:
        """Send the arm home. Raises: RobotError saying why it does not get there."""
        self.hold()
        self.call(HOME, limit_s=HOME_S)

    def lay_scene(self, scene: Scene, task: str) -> bool:
        """Let a simulator lay a scene.

        Args:
            scene: The scene.
            task: Name of the task.

        Returns:
            Whether there is one; else a person lays it.

        Raises:
            RobotError: It refuses the scene.
        """
        if not self._asked_of[SCENE_RESET].service_is_ready():
            return False
        self.call(SCENE_RESET, seed=scene.seed, task=task, target_object=scene.condition)
        return True

    def record(self, name: str, metadata: Mapping[str, Any]) -> str:
        """Begin to record; the path of the file to be. Raises: RobotError."""
        about = key_values(encode_metadata(metadata))
        return str(self.call(START_EPISODE, name=name, metadata=about).path)

    def keep(self, label: str) -> str:
        """End the recording with this label; its path. Raises: RobotError."""
        return str(self.call(STOP_EPISODE, label=label).path)

    def follow_policy(self) -> None:
        """Let the policy move the arm. Raises: RobotError."""
        self.call(SET_MODE, mode=mode_message(Mode.POLICY))

    def fault(self) -> str:
        """Why a trial that runs must be cut off; '' if nothing is wrong."""
        state, now_s = self.control.state, time.monotonic()
        if state is None:
            return "control is silent"
        if state.stopped:
            return f"the arm was stopped: {state.reason}"
        if now_s - self._image_s > SILENT_S:
            return f"the camera was lost: no image for {SILENT_S:g} s"
        if now_s - self._command_s > SILENT_S:
            return f"the policy sent no command for {SILENT_S:g} s; see its log"
        return ""
