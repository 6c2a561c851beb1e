"""Whether control follows a trajectory, by what it reports. Pure."""

import math

from conure_msgs.msg import Mode, RobotState
from conure_ros.comms.messages import to_ns

START_S = 2.0
"""How long control may take to follow: an arm that was moved by hand must rest first."""
LATE_S = 0.5
"""How long it may hold after commands that came late."""
CHOOSE = "choose the mode trajectory first: control/set_mode"


def refusal(state: RobotState | None) -> str:
    """Why no goal may begin; '' if one may.

    Args:
        state: The newest state of control; None: it is silent.
    """
    if state is None:
        return "control is silent; is control_node active?"
    if state.stopped:
        return f"the arm is stopped: {state.reason}; call control/reset_stop, then {CHOOSE}"
    if state.mode.value == Mode.INACTIVE:
        return "control is not active"
    if state.selected.value != Mode.TRAJECTORY:
        return f"trajectories may not move the arm now; {CHOOSE}"
    return ""


class Admission:
    """What control does with the commands of a goal, from the first one on.

    >>> admission = Admission()
    >>> admission.begin(now_s, now_ns)
    >>> admission.judge(state, now_s, late=False)  # '' while the goal may go on
    >>> admission.follows
    """

    def __init__(self) -> None:
        self.follows = False
        """Whether control follows, as far as it reported."""
        self._begun_ns, self._followed = 0, False
        self._patient_until_s = -math.inf

    def begin(self, now_s: float, now_ns: int) -> None:
        """Begin to send commands.

        Args:
            now_s: Present time on the steady clock, s.
            now_ns: Present time on the clock of the stamps, ns.
        """
        self.follows = self._followed = False
        self._begun_ns, self._patient_until_s = now_ns, now_s + START_S

    def judge(self, state: RobotState | None, now_s: float, late: bool) -> str:
        """Judge the newest state of control.

        Args:
            state: The state; None: control is silent.
            now_s: Present time on the steady clock, s.
            late: Whether the last command was sent late, so that control may hold for that.

        Returns:
            Why the goal has to end; '' if it may go on.
        """
        if state is None or (why := refusal(state)):
            self.follows = False
            return refusal(None) if state is None else _interruption(state, why)
        if to_ns(state.header.stamp) < self._begun_ns:
            return ""  # it does not know the goal yet
        self.follows = state.mode.value == Mode.TRAJECTORY
        if self.follows and not self._followed:
            self._followed, self._patient_until_s = True, now_s
        if late:
            self._patient_until_s = max(self._patient_until_s, now_s + LATE_S)
        if self.follows or now_s < self._patient_until_s:
            return ""
        return f"control holds: {state.reason}"


def _interruption(state: RobotState, why: str) -> str:
    """Why control no longer follows."""
    if state.stopped or state.mode.value == Mode.INACTIVE:
        return why
    if state.selected.value == Mode.TELEOP:
        return "a person took over"
    return f"another mode was chosen: {state.reason}"
