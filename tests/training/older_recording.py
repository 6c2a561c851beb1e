"""A recording as releases before Mode.msg wrote it: mode, source and latency as they were then."""

import math
from dataclasses import dataclass

from mcap_ros2._dynamic import serialize_dynamic

from conure_msgs.msg import PolicyCommand, RobotState
from conure_ros.comms.messages import to_ns
from conure_ros.comms.schemas import RULE, schema_text

from .arm_recording import TYPES, ArmRecording

TIME = f"{RULE}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
HEADER = f"{RULE}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n{TIME}"
STATE = f"""std_msgs/Header header
uint8 mode
string reason
bool stopped
string[] safety_changes
float64[] requested_rad
float64[] commanded_rad
float64 capture_to_command_s
string alarm
uint64 refused_commands
string refusal
builtin_interfaces/Time reset_stamp
{HEADER}"""
COMMAND = f"""std_msgs/Header header
float64[] action
float64[] z
float64 log_likelihood
builtin_interfaces/Time inference_start
builtin_interfaces/Time inference_end
string bundle_hash
string source
{HEADER}"""
OLDER = {"conure_msgs/msg/RobotState": STATE, "conure_msgs/msg/PolicyCommand": COMMAND}
ENCODERS = {name: serialize_dynamic(name, text)[name] for name, text in OLDER.items()}


def older_state(state: RobotState) -> dict:
    captured_ns = to_ns(state.capture_stamp)
    age_s = (to_ns(state.header.stamp) - captured_ns) * 1e-9 if captured_ns else math.nan
    return {"mode": state.mode.value, "capture_to_command_s": age_s}


def older_command(command: PolicyCommand) -> dict:
    return {
        "source": {PolicyCommand.POLICY: "policy", PolicyCommand.TELEOP: "teleop"}[command.source]
    }


@dataclass
class OlderRecording(ArmRecording):
    """See `ArmRecording`."""

    def schema(self, topic):
        return OLDER.get(TYPES[topic]) or schema_text(TYPES[topic])

    def encoded(self, topic, message):
        encode = ENCODERS.get(TYPES[topic])
        if encode is None:
            return super().encoded(topic, message)
        change = older_state if isinstance(message, RobotState) else older_command
        fields = {name: getattr(message, name) for name in message.get_fields_and_field_types()}
        return encode({**fields, **change(message)})
