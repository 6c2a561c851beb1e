"""`python -m conure_sim.servos.inject PORT COMMAND [JSON]`: inject a fault into simulated servos,
or read their state.

Commands: faults {"corrupt": 0.05, "partial": 0, "late": 0, "late_s": 0.02, "lost": [4]}; servo
{"servo_id": 4, "temperature_c": 85, "overload": true, "reboot": true}; place {"positions":
{"elbow": 0.1}}, joints moved by hand, rad and m; plug {"plugged": false}; state.

Further keys of servo: "shift_counts": -2054, a horn mounted askew, without power: the encoder reads
so many counts more than the joint's angle. "registers": {"goal_pwm": 100}, values that another
program left in them. "stuck": ["torque_enable"], registers that keep their value though the servo
confirms the write. "jammed": true, the joint is blocked.
"""

import json
import sys
from pathlib import Path

from conure_core.errors import ConureError
from conure_core.runtime.json_text import json_text
from conure_core.servos.control_channel import ask

if __name__ == "__main__":
    try:
        port, command, *words = sys.argv[1:]
        arguments = json.loads(" ".join(words) or "{}")
        print(json_text(ask(Path(port), command, **arguments)))
    except (ConureError, OSError, ValueError) as error:
        sys.exit(f"{error}\n{__doc__}")
