"""The channel by which simulated servos are told to misbehave, and asked how they are: the asking
end.
"""

import json
import socket
from pathlib import Path
from typing import Any

from conure_core.errors import RobotError

TIMEOUT_S = 10.0


def control_path(port: Path) -> Path:
    """Where the control channel of the servos at this port listens."""
    return port.with_name(f"{port.name}.control")


def ask(port: Path, command: str, **words: Any) -> dict[str, Any]:
    """Ask the simulated servos at a port: faults, servo, plug, state.

    Raises: RobotError if they refuse, OSError if there are none.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(TIMEOUT_S)
        peer.connect(str(control_path(port)))
        with peer.makefile("rw") as lines:
            lines.write(json.dumps({"command": command, **words}) + "\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(lines.readline())
    if not answer.pop("ok"):
        raise RobotError(f"simulated servos: {answer['message']}")
    return answer
