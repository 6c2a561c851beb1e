"""The channel by which simulated servos are told to misbehave, and asked how they are: the asking
end.
"""

import json
import socket
from pathlib import Path
from typing import Any

from conure_core.errors import RobotError
from conure_core.runtime.json_text import json_text

TIMEOUT_S = 10.0


def control_path(port: Path) -> Path:
    """Find where the control channel of the servos at this port listens."""
    return port.with_name(f"{port.name}.control")


def ask(port: Path, command: str, **words: Any) -> dict[str, Any]:
    """Ask the simulated servos at a port, and wait up to `TIMEOUT_S` for the answer.

    Args:
        port: The path that `port_path` gives for the simulated servos.
        command: `faults`, `servo`, `plug` or `state`.
        **words: Arguments of the command; values as JSON can hold them.

    Returns:
        The answer's fields.

    Raises:
        RobotError: The servos refuse; says why.
        OSError: There are none at this port.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(TIMEOUT_S)
        peer.connect(str(control_path(port)))
        with peer.makefile("rw") as lines:
            question = json_text({"command": command, **words})
            lines.write(question + "\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(lines.readline())
    if not answer.pop("ok"):
        raise RobotError(f"simulated servos: {answer['message']}")
    return answer
