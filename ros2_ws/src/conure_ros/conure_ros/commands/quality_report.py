"""Says how good each recording is after it ends, beside whatever else goes on."""

import threading
from collections.abc import Callable
from pathlib import Path

from conure_core.errors import ConureError
from conure_core.robot.description import RobotConfig


class QualityReport:
    """Measures recordings one after the other, in a thread of its own.

    Paths are held against the median of those before, as long as this lives.
    """

    def __init__(self, robot: RobotConfig, say: Callable[[str], None]) -> None:
        """Begin without recordings.

        Args:
            robot: The robot that they are of.
            say: Takes the line of each one; called in the thread.
        """
        self._robot = robot
        self._say = say
        self._paths_m: list[float] = []
        self._one_at_a_time = threading.Lock()

    def begin(self, path: str) -> threading.Thread | None:
        """Measure a recording.

        Args:
            path: The file; empty: it was discarded.

        Returns:
            The thread that does; None if there is nothing to measure on this computer.
        """
        if not path or not Path(path).is_file():
            return None
        thread = threading.Thread(target=self._measure, args=(Path(path),), daemon=True)
        thread.start()
        return thread

    def _measure(self, path: Path) -> None:
        # Late, so that the keys that stop an arm do not wait for kinematics and OpenCV.
        from conure_core.robot.arm import Arm
        from conure_ros.recording.quality import measure_recording

        with self._one_at_a_time:
            try:
                quality = measure_recording(path, Arm(self._robot))
            except (ConureError, OSError) as error:
                self._say(f"quality: {' '.join(str(error).split())}")
                return
            self._say(f"quality: {quality.line(self._paths_m)}")
            self._paths_m.append(quality.path_m)
