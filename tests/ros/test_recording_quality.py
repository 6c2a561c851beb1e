"""What a person must know of a recording before the next one begins."""

import numpy as np
import pytest
from rclpy.serialization import serialize_message

from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_ros.commands.quality_report import QualityReport
from conure_ros.comms.messages import image_message
from conure_ros.recording.quality import measure_recording
from tests.training.arm_recording import MS, ArmRecording

ARM = Arm(load_robot("wx250s"))
STEPS = 80
LATE_MS = 200


def action_at(step, speed=0.7):
    """Motion that comes and goes, so that it can be recognized in the images."""
    turn = np.sin(step / 3.0) * speed
    return [0.0, turn if step % 13 < 8 else 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


class Seen(ArmRecording):
    """Whose images show where the tool is, perhaps late; some may be missing."""

    late_ms = 0
    missing = ()

    def measure(self, image=True):
        super().measure(image=False)
        if not image or len(self.commanded) in self.missing:
            return
        height, width = self.size
        column = width * (0.5 + 2.0 * ARM.forward(self.joints)[1, 3])
        bright = np.abs(np.arange(width) - column) < 5
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[:, bright] = 250
        stamp = self.now_ns + self.late_ms * MS
        message = serialize_message(image_message(pixels, stamp, "camera"))
        self.writer.write("/camera/image_raw", message, self.now_ns, self.now_ns)


def recorded(folder, late_ms=0, missing=(), speed=0.7, steps=STEPS, **settings):
    recording = Seen(folder, **settings)
    recording.late_ms, recording.missing = late_ms, missing
    for step in range(steps):
        recording.tick(action_at(step, speed))
    return recording.close("success", task="Lift")


def test_a_good_recording_is_called_good_with_its_figures(tmp_path):
    quality = measure_recording(recorded(tmp_path), ARM)
    assert quality.duration_s == pytest.approx(STEPS * 0.1, abs=0.2)
    camera = quality.cameras["camera"]
    assert (round(camera.rate_hz), camera.dropped) == (10, 0)
    assert abs(quality.lag_s) < 0.1
    assert 0.2 < quality.idle_share < 0.5 and quality.full_share == 0.0
    assert 0.1 < quality.path_m < 2.0 and quality.jerk_m_s3 > 0
    line = quality.line()
    assert line.endswith(": good") and "\n" not in line and "camera 10 Hz" in line


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"late_ms": LATE_MS}, "the lag"),
        ({"missing": range(20, 32)}, "dropped images"),
        ({"speed": 0.0}, "idle time"),
        ({"speed": 30.0}, "full commands"),
    ],
)
def test_what_is_bad_is_named_at_the_end_of_the_line(tmp_path, settings, fault):
    if settings.get("speed", 0) > 1:
        recording = Seen(tmp_path)
        for step in range(20):
            recording.tick([0.0, 1.0 if step % 4 < 2 else -1.0, 0, 0, 0, 0, 1.0])
        path = recording.close("success")
    else:
        path = recorded(tmp_path, **settings)
    quality = measure_recording(path, ARM)
    assert fault in quality.faults() and f"LOOK AT {', '.join(quality.faults())}" in quality.line()


def test_late_images_are_late_by_what_they_are(tmp_path):
    quality = measure_recording(recorded(tmp_path, late_ms=LATE_MS), ARM)
    assert quality.lag_s == pytest.approx(LATE_MS / 1000, abs=0.075)
    assert "images +" in quality.line()


def test_missing_images_are_counted(tmp_path):
    quality = measure_recording(recorded(tmp_path, missing=(9, 20, 21, 40)), ARM)
    assert quality.cameras["camera"].dropped == 4
    assert f"4 of {STEPS + 1} missing" in quality.line()


def test_a_path_is_held_against_the_median_of_earlier_ones(tmp_path):
    quality = measure_recording(recorded(tmp_path), ARM)
    assert "1.0 of the median" in quality.line([quality.path_m] * 3)
    assert quality.faults([quality.path_m / 3]) == ["a long path"]
    assert quality.faults([3 * quality.path_m] * 3) == ["a short path"]


def test_a_recording_without_images_or_commands_says_so(tmp_path):
    recording = ArmRecording(tmp_path, topics=("/joint_states",))
    for _ in range(3):
        recording.tick()
    quality = measure_recording(recording.close("success"), ARM)
    assert quality.faults() == ["no camera", "no command"]
    assert np.isnan(quality.lag_s) and "idle" not in quality.line()


def test_each_recording_is_reported_beside_those_before(tmp_path):
    said = []
    report = QualityReport(ARM.config, said.append)
    first = recorded(tmp_path, name="first", steps=20)
    for path in (first, recorded(tmp_path, name="second", steps=60)):
        report.begin(str(path)).join(timeout=120)
    assert "of the median" not in said[0] and "a long path" in said[1]
    damaged = tmp_path / "damaged.mcap"
    damaged.write_bytes(first.read_bytes()[:500])
    report.begin(str(damaged)).join(timeout=120)
    assert said[2].startswith("quality: ") and "is damaged" in said[2] and "\n" not in said[2]


@pytest.mark.parametrize("path", ["", "/nowhere/episode.mcap"])
def test_what_is_not_here_is_not_measured(path):
    assert QualityReport(ARM.config, print).begin(path) is None
