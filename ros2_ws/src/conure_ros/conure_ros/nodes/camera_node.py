"""camera_node: one real camera, by OpenCV. Publishes fresh frames only; bad ones are withheld."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, Image

from conure_core.errors import ConfigError
from conure_ros.cameras.calibration import Calibration, read_calibration, read_pose
from conure_ros.cameras.capture import Backoff, Capture, Frame
from conure_ros.cameras.framing import Framing
from conure_ros.cameras.health import HealthRules, StreamHealth
from conure_ros.cameras.rotation import require_turn, rotate_calibration, rotate_image
from conure_ros.cameras.sources import CameraLost, Source, SourceSettings, open_source, parse_source
from conure_ros.cameras.transforms import camera_transform, publish_static
from conure_ros.comms.diagnostics import Tally, diagnostics
from conure_ros.comms.lifecycle import ManagedNode, one_line, run_node
from conure_ros.comms.messages import NANOSECONDS, image_message, to_time
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import NEWEST, STREAM

WATCH_PERIOD_S = 0.02
DIAGNOSTICS_PERIOD_S = 1.0


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
    loop: bool = parameter(True, "start a video file or a folder over at its end")
    capture_delay_s: float = parameter(
        0.0, "measured time from exposure to grab, taken off every stamp, s", 0.0, 1.0
    )
    rotate_deg: int = parameter(
        0, "clockwise turn of the frames of a camera on its head or side: 0, 90, 180, 270", 0, 270
    )
    image_size_px: int = parameter(
        48, "side of the square images that the policy sees, px", 16, 1024
    )
    fit: str = parameter("crop", "how frames become square: none, crop, pad or stretch")
    crop_px: tuple[int, ...] = parameter(
        (0, 0, 0, 0), "part of the frame taken first: left, top, width, height, px"
    )
    calibration: str = parameter("", "YAML file in ROS's camera_info format; empty: not calibrated")
    undistort: bool = parameter(False, "take the lens distortion out of the images")
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
            loop=wanted.loop,
            open_timeout_s=wanted.open_timeout_s,
            read_timeout_s=wanted.read_timeout_s,
        )
        require_turn(wanted.rotate_deg)
        framing = Framing(wanted.fit, wanted.image_size_px, wanted.crop_px)  # type: ignore[arg-type]
        pose = read_pose(Path(wanted.pose)) if wanted.pose else None
        source = self._open()
        try:
            self._measure(source, framing)
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
        return open_source(self.spec, self.settings)

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

    def _measure(self, source: Source, framing: Framing) -> None:
        """Read the first frame and set up everything that depends on its size. Raises: ConfigError,
        CameraLost.
        """
        wanted = self.parameters
        if not source.grab():
            raise CameraLost(
                f"{self.spec.shown} opens but gives no frame; is another program using it?"
            )
        self.shape = source.retrieve().shape
        height, width, _ = self.shape
        if wanted.width_px and (width, height) != (wanted.width_px, wanted.height_px):
            raise ConfigError(
                f"{self.spec.shown} gives {width}x{height} px, not the"
                f" {wanted.width_px}x{wanted.height_px} px asked for; v4l2-ctl --list-formats-ext"
                " says which sizes it has (set fourcc for some)"
            )
        if wanted.undistort and not wanted.calibration:
            raise ConfigError(
                "undistort needs a calibration; give its YAML file as the parameter 'calibration'"
            )
        self.calibration = Calibration.uncalibrated(width, height)
        if wanted.calibration:
            self.calibration = read_calibration(Path(wanted.calibration))
            self.calibration.require_size(width, height)
            for assumed in self.calibration.assumed:
                self.get_logger().warning(f"{wanted.calibration}: {assumed}")
        published = self.calibration.without_distortion() if wanted.undistort else self.calibration
        published = rotate_calibration(published, wanted.rotate_deg)
        self.placement = framing.placement(published.width_px, published.height_px)
        self.frame = f"{wanted.frame_prefix}{wanted.frame}"
        self.info = calibration_message(published.for_placement(self.placement), self.frame)

    def _connect(self) -> None:
        self.images = self.publisher_while_active(Image, "camera/image_raw", NEWEST)
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
        pixels = (
            self.calibration.undistort(frame.pixels) if self.parameters.undistort else frame.pixels
        )
        upright = rotate_image(pixels, self.parameters.rotate_deg)
        image = cv2.cvtColor(self.placement.apply(upright), cv2.COLOR_BGR2RGB)
        stamp_ns = frame.stamp_ns - round(self.parameters.capture_delay_s * NANOSECONDS)
        self.info.header.stamp = to_time(stamp_ns)
        self.infos.publish(self.info)
        self.images.publish(image_message(image, stamp_ns, self.frame))
        self.tally.add(time.monotonic() - frame.taken_s)

    def _watch(self) -> None:
        if self.capture.error is not None:
            raise self.capture.error
        fault = self.health.tick(time.monotonic())
        changed, self.fault = fault != self.fault, fault
        if changed and fault:
            self.get_logger().warning(one_line(f"no images: {fault}"))
        elif changed:
            self.get_logger().info(
                f"images of {self.spec.shown}, {self.shape[1]}x{self.shape[0]} px"
            )
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
        }
        self.diagnostics.publish(diagnostics(self, "capture", self.spec.shown, self.fault, values))


def calibration_message(calibration: Calibration, frame: str) -> CameraInfo:
    """Build a CameraInfo without a stamp.

    Args:
        calibration: Calibration of the published images.
        frame: Name of the optical frame.
    """
    message = CameraInfo(
        width=calibration.width_px,
        height=calibration.height_px,
        distortion_model=calibration.model,
        d=calibration.distortion.tolist(),
        k=calibration.matrix.ravel().tolist(),
        r=calibration.rectification.ravel().tolist(),
        p=calibration.projection.ravel().tolist(),
    )
    message.header.frame_id = frame
    return message


def main() -> None:
    run_node(CameraNode)
