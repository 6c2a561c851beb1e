"""camera_node: one real camera, by OpenCV. Publishes fresh frames only; bad ones are withheld."""

import array
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from conure_core.errors import ConfigError
from conure_ros.cameras.calibration import Calibration, read_calibration, read_pose
from conure_ros.cameras.camera_info import calibration_message
from conure_ros.cameras.capture import Backoff, Capture, Frame
from conure_ros.cameras.devices import explain_twin
from conure_ros.cameras.encodings import COMPRESSED, JPEG_FORMAT, TOPIC, jpeg_bytes
from conure_ros.cameras.health import HealthRules, StreamHealth
from conure_ros.cameras.rotation import require_turn, rotate_calibration, rotate_image
from conure_ros.cameras.sources import (
    BadFrame,
    CameraLost,
    Source,
    SourceSettings,
    open_source,
    parse_source,
)
from conure_ros.cameras.transforms import camera_transform, publish_static
from conure_ros.comms.diagnostics import Tally, diagnostics
from conure_ros.comms.lifecycle import ManagedNode, one_line, run_node
from conure_ros.comms.messages import NANOSECONDS, image_message, to_time
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import NEWEST, STREAM

WATCH_PERIOD_S = 0.02
DIAGNOSTICS_PERIOD_S = 1.0
FIRST_FRAMES = 10
NO_FRAME = (
    "another program uses it, or another camera has the bandwidth of its USB bus: set fourcc: MJPG"
    " for both, a smaller width_px and height_px, or plug it into another port of the computer"
)


@dataclass(frozen=True)
class CameraParameters:
    """Parameters of camera_node."""

    source: str = parameter(
        "", "V4L2 index or device, rtsp:// or http:// stream, gst:PIPELINE, video file or folder"
    )
    width_px: int = parameter(
        0, "width to ask a V4L2 device for, and to insist on, px; 0: the camera's own", 0, 16384
    )
    height_px: int = parameter(0, "the same for the height, px", 0, 16384)
    rate_hz: float = parameter(
        30.0, "frames that are expected a second; files are played at this rate", 0.1, 1000.0
    )
    fourcc: str = parameter(
        "", "pixel format to ask a V4L2 device for, such as MJPG; empty: the camera's own"
    )
    exposure_ms: float = parameter(
        0.0, "fixed exposure time of a V4L2 device, ms; 0: automatic", 0.0, 10000.0
    )
    gain: int = parameter(-1, "gain of a V4L2 device, in its own units; -1: its own", -1, 1000000)
    loop: bool = parameter(True, "start a video file or a folder over at its end")
    capture_delay_s: float = parameter(
        0.0, "measured time from exposure to grab, taken off every stamp, s", 0.0, 1.0
    )
    rotate_deg: int = parameter(
        0, "clockwise turn of the frames of a camera on its head or side: 0, 90, 180, 270", 0, 270
    )
    calibration: str = parameter("", "YAML file in ROS's camera_info format; empty: not calibrated")
    jpeg_quality: int = parameter(90, "quality of the compressed images", 1, 100)
    pose: str = parameter(
        "", "YAML file with the pose of the optical frame, for /tf_static; empty: none"
    )
    frame: str = parameter(
        "camera_optical_frame", "name of the optical frame: z forward, x right, y down (REP 103)"
    )
    frame_prefix: str = parameter("", "put before the names of all frames, such as left/")
    fault_periods: float = parameter(
        6.0, "expected periods without a good frame until that is a fault", 1.0, 1000.0
    )
    resume_s: float = parameter(
        1.0, "how long frames must be good again until images are published, s", 0.0, 60.0
    )
    frozen_noise_fraction: float = parameter(
        0.1,
        "difference of two frames, of the sensor's noise, below which they are one; -1: off",
        -1.0,
        1.0,
    )
    dark_level: int = parameter(12, "pixels at or below this are dark, of 255", 0, 255)
    dark_fraction: float = parameter(
        0.98, "dark pixels that make an image black; above 1: off", 0.0, 2.0
    )
    bright_level: int = parameter(250, "pixels at or above this are overexposed, of 255", 0, 255)
    bright_fraction: float = parameter(
        0.7, "such pixels that make an image overexposed; above 1: off", 0.0, 2.0
    )
    open_timeout_s: float = parameter(
        5.0, "how long opening a network stream may take, s", 0.1, 50.0
    )
    read_timeout_s: float = parameter(
        2.0, "a network stream that is silent for this long is opened again, s", 0.1, 60.0
    )
    reconnect_first_s: float = parameter(
        0.5, "wait before a lost source is opened again, doubled each time, s", 0.01, 60.0
    )
    reconnect_most_s: float = parameter(8.0, "the longest such wait, s", 0.01, 600.0)


class CameraNode(ManagedNode):
    """Configure opens the camera and checks every size. Active, it publishes images while frames
    are good.
    """

    def __init__(self) -> None:
        super().__init__("camera")
        self.parameters = declare(self, CameraParameters)

    def configure(self) -> None:
        wanted = self.parameters
        self.spec = parse_source(wanted.source)
        self.settings = SourceSettings(
            width_px=wanted.width_px,
            height_px=wanted.height_px,
            rate_hz=wanted.rate_hz,
            fourcc=wanted.fourcc,
            exposure_ms=wanted.exposure_ms,
            gain=wanted.gain,
            loop=wanted.loop,
            open_timeout_s=wanted.open_timeout_s,
            read_timeout_s=wanted.read_timeout_s,
        )
        require_turn(wanted.rotate_deg)
        pose = read_pose(Path(wanted.pose)) if wanted.pose else None
        source = self._open()
        try:
            self._measure(source)
            self._connect()
            if pose is not None:
                transform = camera_transform(pose, wanted.frame)
                static = publish_static(self, transform, wanted.frame_prefix)
                self.destroy_at_cleanup(self.destroy_publisher, static)
        except BaseException:
            source.close()
            raise
        self.health = StreamHealth(self._rules(), self.spec.live)
        self.tally, self.fault, self.reported_s = Tally(), self.health.fault, 0.0
        self.capture = Capture(
            source,
            self._open,
            self.now_ns,
            self._on_frame,
            partial(self.health.reject, kind="undecodable"),
            self.health.lost,
            0.0 if self.spec.live else 1.0 / wanted.rate_hz,
            Backoff(wanted.reconnect_first_s, wanted.reconnect_most_s),
        )
        self.steady_timer(WATCH_PERIOD_S, self._watch)

    def _open(self) -> Source:
        """Open the source, and say what the device set otherwise than it was asked to. Raises:
        CameraLost, ConfigError.
        """
        source = open_source(self.spec, self.settings)
        warnings = source.format.differences(self.settings) if source.format else []
        if source.format and (twin := explain_twin(self.spec.address)):
            warnings.append(twin)
        for warning in warnings:
            self.get_logger().warning(one_line(f"{self.spec.shown}: {warning}"))
        self.format = str(source.format or "")
        return source

    def _first_frame(self, source: Source) -> Any:
        """The first frame that can be decoded: the first ones of many USB cameras cannot. Raises:
        CameraLost.
        """
        for attempt in range(FIRST_FRAMES):
            if not source.grab():
                raise CameraLost(f"{self.spec.shown} opens but gives no frame; {NO_FRAME}")
            try:
                return source.retrieve()
            except BadFrame as error:
                why = error
            self.get_logger().debug(f"frame {attempt + 1} of {self.spec.shown}: {why}")
        raise CameraLost(f"none of the first {FIRST_FRAMES} frames can be used: {why}")

    def _rules(self) -> HealthRules:
        wanted = self.parameters
        return HealthRules(
            period_s=1.0 / wanted.rate_hz,
            fault_periods=wanted.fault_periods,
            resume_s=wanted.resume_s,
            frozen_noise_fraction=wanted.frozen_noise_fraction,
            dark_level=wanted.dark_level,
            dark_fraction=wanted.dark_fraction,
            bright_level=wanted.bright_level,
            bright_fraction=wanted.bright_fraction,
        )

    def _measure(self, source: Source) -> None:
        """Read the first frame and set up everything that depends on its size. Raises: ConfigError,
        CameraLost.
        """
        wanted = self.parameters
        self.shape = self._first_frame(source).shape
        height, width, _ = self.shape
        if wanted.width_px and (width, height) != (wanted.width_px, wanted.height_px):
            raise ConfigError(
                f"{self.spec.shown} gives {width}x{height} px, not the"
                f" {wanted.width_px}x{wanted.height_px} px asked for; v4l2-ctl --list-formats-ext"
                " says which sizes it has (set fourcc for some)"
            )
        calibration = Calibration.uncalibrated(width, height)
        if wanted.calibration:
            calibration = read_calibration(Path(wanted.calibration))
            calibration.require_size(width, height)
            for assumed in calibration.assumed:
                self.get_logger().warning(f"{wanted.calibration}: {assumed}")
        upright = rotate_calibration(calibration, wanted.rotate_deg)
        self.frame = f"{wanted.frame_prefix}{wanted.frame}"
        self.info = calibration_message(upright, self.frame)

    def _connect(self) -> None:
        compressed = self.resolve_topic_name(TOPIC) + COMPRESSED
        self.images = self.publisher_while_active(Image, TOPIC, NEWEST)
        self.jpegs = self.publisher_while_active(CompressedImage, compressed, NEWEST)
        self.infos = self.publisher_while_active(CameraInfo, "camera/camera_info", NEWEST)
        status = self.create_publisher(DiagnosticArray, "/diagnostics", STREAM)
        self.diagnostics = self.destroy_at_cleanup(self.destroy_publisher, status)

    def release(self) -> None:
        capture = getattr(self, "capture", None)
        if capture is not None:
            capture.close(self.parameters.read_timeout_s)

    def _on_frame(self, frame: Frame) -> None:
        """Publish a frame, on the capture's thread."""
        if frame.pixels.shape != self.shape:
            height, width, _ = frame.pixels.shape
            why = (
                f"frames are {width}x{height} px now, were {self.shape[1]}x{self.shape[0]} px;"
                " configure the node again"
            )
            self.health.reject(frame.taken_s, why, "misfit")
            return
        if not self.health.frame(frame.taken_s, frame.pixels) or not self.active:
            return
        stamp_ns = frame.stamp_ns - round(self.parameters.capture_delay_s * NANOSECONDS)
        self.info.header.stamp = to_time(stamp_ns)
        self.infos.publish(self.info)
        self._publish_image(rotate_image(frame.pixels, self.parameters.rotate_deg), stamp_ns)
        self.tally.add(time.monotonic() - frame.taken_s)

    def _publish_image(self, pixels: Any, stamp_ns: int) -> None:
        """Publish a BGR image, raw and compressed, to those who read it."""
        if self.images.is_read:
            image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
            self.images.publish(image_message(image, stamp_ns, self.frame))
        if self.jpegs.is_read:
            data = jpeg_bytes(pixels, self.parameters.jpeg_quality)
            message = CompressedImage(header=self.info.header, format=JPEG_FORMAT)
            message.data = array.array("B", data)
            self.jpegs.publish(message)

    def _watch(self) -> None:
        if self.capture.error is not None:
            raise self.capture.error
        fault = self.health.tick(time.monotonic())
        changed, self.fault = fault != self.fault, fault
        if changed and fault:
            self.get_logger().warning(one_line(f"no images: {fault}"))
        elif changed:
            shown = self.format or f"{self.shape[1]}x{self.shape[0]} px"
            self.get_logger().info(f"images of {self.spec.shown}, {shown}")
        if changed or time.monotonic() - self.reported_s >= DIAGNOSTICS_PERIOD_S:
            self._diagnose()

    def _diagnose(self) -> None:
        self.reported_s = time.monotonic()
        values = {
            **self.tally.values(),
            "expected_hz": f"{self.parameters.rate_hz:.3f}",
            "dropped: missed": str(self.health.missed),
            **{
                f"dropped: {kind}": str(count) for kind, count in dict(self.health.withheld).items()
            },
            "reconnects": str(self.capture.reconnects),
            "source": self.spec.shown,
            "format": self.format,
        }
        self.diagnostics.publish(diagnostics(self, "capture", self.spec.shown, self.fault, values))


def main() -> None:
    run_node(CameraNode)
