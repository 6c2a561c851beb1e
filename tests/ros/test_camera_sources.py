"""Real files, folders and network streams through OpenCV; devices as far as they go without one."""

import threading
import time

import cv2
import numpy as np
import pytest

from conure_core.errors import ConfigError
from conure_ros.cameras.capture import Backoff, Capture
from conure_ros.cameras.devices import explain_twin, video_devices
from conure_ros.cameras.sources import (
    BadFrame,
    CameraLost,
    Kind,
    SourceEnded,
    SourceSettings,
    has_gstreamer,
    open_source,
    parse_source,
)

LEVELS = [40, 90, 140, 190]


def frame(level):
    return np.full((48, 64, 3), level, np.uint8)


@pytest.fixture
def folder(tmp_path):
    for index, level in enumerate(LEVELS):
        cv2.imwrite(str(tmp_path / f"{index:03d}.png"), frame(level))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for level in LEVELS:
        writer.write(frame(level))
    writer.release()
    return path


def levels(source, count):
    seen = []
    for _ in range(count):
        assert source.grab()
        seen.append(source.retrieve().mean())
    return seen


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_files_are_played_in_order_and_start_over(kind, request):
    source = open_source(parse_source(str(request.getfixturevalue(kind))), SourceSettings())
    assert levels(source, 9) == pytest.approx([*LEVELS, *LEVELS, LEVELS[0]], abs=3)
    source.close()


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_files_that_do_not_start_over_end(kind, request):
    source = open_source(
        parse_source(str(request.getfixturevalue(kind))), SourceSettings(loop=False)
    )
    levels(source, len(LEVELS))
    with pytest.raises(SourceEnded, match="is at its end"):
        source.grab()
    source.close()


@pytest.mark.parametrize(
    ("text", "kind", "address"),
    [
        ("2", Kind.DEVICE, "/dev/video2"),
        ("/dev/v4l/by-id/usb-camera-index0", Kind.DEVICE, "/dev/v4l/by-id/usb-camera-index0"),
        ("rtsp://camera/stream", Kind.STREAM, "rtsp://camera/stream"),
        (
            "gst: v4l2src ! videoconvert ! appsink",
            Kind.PIPELINE,
            "v4l2src ! videoconvert ! appsink",
        ),
    ],
)
def test_a_source_says_by_its_form_what_it_is(text, kind, address):
    spec = parse_source(text)
    assert (spec.kind, spec.address, spec.live) == (kind, address, True)


def test_a_password_is_not_shown():
    spec = parse_source("rtsp://user:secret@camera/stream")
    assert spec.address == "rtsp://user:secret@camera/stream"
    assert spec.shown == "rtsp://...@camera/stream"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'source' is empty; give a V4L2 index"),
        ("no/such/file", "no camera at"),
        ("ftp://x", "valid: rtsp"),
    ],
)
def test_what_is_no_source_is_refused_with_what_one_may_be(text, reason):
    with pytest.raises(ConfigError, match=reason):
        parse_source(text)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(CameraLost, match="/dev/video97 is not there; is the camera plugged in"):
        open_source(parse_source("97"), SourceSettings())


def test_a_stream_that_nobody_serves_is_refused_without_its_password():
    with pytest.raises(CameraLost, match="cannot be opened") as refusal:
        open_source(
            parse_source("http://user:secret@127.0.0.1:9/"), SourceSettings(open_timeout_s=2.0)
        )
    assert "secret" not in str(refusal.value)


def test_a_pipeline_gives_frames_or_is_refused_where_opencv_has_no_gstreamer():
    spec = parse_source(
        "gst:videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48 ! videoconvert ! appsink"
    )
    if has_gstreamer():
        source = open_source(spec, SourceSettings())
        assert source.grab() and source.retrieve().shape == (48, 64, 3)
        source.close()
    else:
        with pytest.raises(ConfigError, match="python3-opencv has"):
            open_source(spec, SourceSettings())


def test_an_empty_folder_and_a_broken_image_are_refused_by_name(tmp_path):
    with pytest.raises(CameraLost, match="holds no image"):
        open_source(parse_source(str(tmp_path)), SourceSettings())
    (tmp_path / "broken.png").write_bytes(b"no image")
    source = open_source(parse_source(str(tmp_path)), SourceSettings())
    assert source.grab()
    with pytest.raises(BadFrame, match=r"broken\.png cannot be read"):
        source.retrieve()


@pytest.mark.parametrize(
    ("words", "reason"),
    [({"fourcc": "MJPEG"}, "four letters"), ({"width_px": 640}, "both width_px and height_px")],
)
def test_settings_that_say_nothing_are_refused(words, reason):
    with pytest.raises(ConfigError, match=reason):
        SourceSettings(**words)


class Unplugged:
    """A source that gives a number of frames, each grabbed at a known time, and then none."""

    def __init__(self, frames):
        self.frames, self.closed = frames, False

    def grab(self):
        self.frames -= 1
        return self.frames >= 0

    def retrieve(self):
        time.sleep(0.05)
        return frame(100)

    def close(self):
        self.closed = True


def test_a_lost_source_is_reported_and_opened_again_with_growing_waits(wait_until):
    sources, frames, losses = [Unplugged(1)], [], []

    def reopen():
        if len(losses) < 4:
            raise CameraLost("not there")
        sources.append(Unplugged(10**9))
        return sources[-1]

    capture = Capture(
        sources[0],
        reopen,
        time.time_ns,
        frames.append,
        lambda *bad: None,
        losses.append,
        backoff=Backoff(first_s=0.02, most_s=0.06),
    )
    wait_until(lambda: len(frames) > 3, 20)
    capture.close(5)
    assert [loss.partition("; ")[2] for loss in losses] == [
        f"trying again in {wait_s:.1f} s" for wait_s in (0.02, 0.04, 0.06, 0.06)
    ]
    assert losses[0].startswith("the source gives no more frames") and losses[1].startswith(
        "not there"
    )
    assert capture.reconnects == 1 and capture.error is None
    assert all(source.closed for source in sources)
    count = len(frames)
    time.sleep(0.1)
    assert len(frames) == count, "closed"


def test_frames_are_stamped_when_they_are_grabbed_not_when_they_are_decoded(wait_until):
    frames = []
    capture = Capture(
        Unplugged(10**9),
        lambda: Unplugged(0),
        time.time_ns,
        lambda frame: frames.append((frame, time.time_ns())),
        lambda *bad: None,
        lambda why: None,
    )
    wait_until(lambda: len(frames) > 5, 20)
    capture.close(5)
    assert all(handed_ns - taken.stamp_ns >= 50_000_000 for taken, handed_ns in frames)


def test_a_source_without_a_pace_is_given_one(wait_until):
    frames = []
    source = Unplugged(10**9)
    source.retrieve = lambda: frame(100)
    capture = Capture(
        source,
        lambda: source,
        time.time_ns,
        frames.append,
        lambda *bad: None,
        lambda why: None,
        0.05,
    )
    wait_until(lambda: len(frames) > 20, 20)
    capture.close(5)
    assert np.median(np.diff([taken.taken_s for taken in frames])) == pytest.approx(0.05, rel=0.2)


def test_a_frame_that_cannot_be_decoded_is_told_and_the_next_one_taken(folder, wait_until):
    (folder / "001.png").write_bytes(b"no image")
    source = open_source(parse_source(str(folder)), SourceSettings())
    frames, bad, losses = [], [], []
    capture = Capture(
        source,
        lambda: source,
        time.time_ns,
        frames.append,
        lambda *told: bad.append(told),
        losses.append,
        0.01,
    )
    wait_until(lambda: len(frames) >= 6 and bad, 20)
    capture.close(5)
    assert "001.png cannot be read" in bad[0][1]
    assert [taken.pixels.mean() for taken in frames[:3]] == [LEVELS[0], *LEVELS[2:]]
    assert not losses


def test_an_unforeseen_error_is_kept_for_the_owner(wait_until):
    capture = Capture(
        Unplugged(1),
        lambda: Unplugged(1),
        time.time_ns,
        lambda frame: 1 / 0,
        lambda *bad: None,
        print,
    )
    wait_until(lambda: capture.error is not None, 20)
    assert isinstance(capture.error, ZeroDivisionError)
    assert "capture" not in [
        thread.name for thread in threading.enumerate() if thread is capture._thread
    ]


class Webcam:
    """cv2.VideoCapture on a device that has one format of 30 Hz, and gain up to 64."""

    def __init__(self, address, backend):
        self.values = {cv2.CAP_PROP_AUTO_EXPOSURE: 3, cv2.CAP_PROP_EXPOSURE: 156}
        self.values |= {cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV")}
        self.values |= {cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480}
        self.values |= {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_GAIN: 0}

    def isOpened(self):
        return True

    def get(self, key):
        return float(self.values.get(key, -1))

    def set(self, key, value):
        manual = self.values[cv2.CAP_PROP_AUTO_EXPOSURE] == 1
        if key == cv2.CAP_PROP_GAIN:
            self.values[key] = min(value, 64)
        elif key == cv2.CAP_PROP_AUTO_EXPOSURE or (key == cv2.CAP_PROP_EXPOSURE and manual):
            self.values[key] = round(value)
        return True


def webcam(monkeypatch, **settings):
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    return open_source(parse_source("/dev/null"), SourceSettings(**settings)).format


def test_exposure_and_gain_are_set_and_what_the_device_took_is_read_back(monkeypatch):
    asked = {"exposure_ms": 8.0, "gain": 12}
    found = webcam(monkeypatch, **asked)
    assert (found.exposure_ms, found.gain) == (pytest.approx(8.0), 12)
    assert str(found) == "640x480 px YUYV at 30 Hz"
    assert found.differences(SourceSettings(**asked)) == []
    assert webcam(monkeypatch).exposure_ms == pytest.approx(15.6), "automatic, unless asked"


def test_what_a_device_set_otherwise_than_asked_is_said(monkeypatch):
    asked = {"fourcc": "MJPG", "rate_hz": 60.0, "gain": 100}
    assert webcam(monkeypatch, **asked).differences(SourceSettings(**asked)) == [
        "fourcc MJPG was asked for, the device set YUYV",
        "rate_hz 60 was asked for, the device set 30",
        "gain 100 was asked for, the device set 64",
    ]


def test_devices_are_listed_by_the_name_that_lasts_and_without_their_metadata(tmp_path):
    devices, classes = tmp_path / "dev", tmp_path / "class"
    by_id = devices / "v4l" / "by-id"
    by_id.mkdir(parents=True)
    for number, index, name in [(10, "0", "Wrist"), (2, "0", "Table"), (3, "1", "Table")]:
        (devices / f"video{number}").touch()
        folder = classes / f"video{number}"
        folder.mkdir(parents=True)
        (folder / "index").write_text(f"{index}\n")
        (folder / "name").write_text(f"{name}\n")
    (by_id / "usb-table-index0").symlink_to(devices / "video2")
    found = video_devices(devices, classes)
    assert [(device.path.name, device.name) for device in found] == [
        ("video2", "Table"),
        ("video10", "Wrist"),
    ]
    assert [device.source for device in found] == [by_id / "usb-table-index0", devices / "video10"]
    assert video_devices(tmp_path / "none", classes) == []


def plugged_in(root, twins):
    """Cameras of one model without serial numbers, and one of another model."""
    devices, classes = root / "dev", root / "class"
    for kind in ("by-id", "by-path"):
        (devices / "v4l" / kind).mkdir(parents=True)
    for number, name in [*((number, "HD Webcam") for number in range(twins)), (7, "Other")]:
        (devices / f"video{number}").touch()
        (classes / f"video{number}").mkdir(parents=True)
        (classes / f"video{number}" / "name").write_text(f"{name}\n")
        port = devices / "v4l" / "by-path" / f"pci-usb-0:{number}-index0"
        port.symlink_to(devices / f"video{number}")
    for name, number in [("usb-HD_Webcam-index0", twins - 1), ("usb-Other-index0", 7)]:
        (devices / "v4l" / "by-id" / name).symlink_to(devices / f"video{number}")
    return devices, classes


def test_two_cameras_of_one_model_behind_one_link_are_listed_by_their_ports(tmp_path):
    devices, classes = plugged_in(tmp_path, twins=2)
    found = {one.path.name: one.source.name for one in video_devices(devices, classes)}
    assert found == {
        "video0": "pci-usb-0:0-index0",
        "video1": "pci-usb-0:1-index0",
        "video7": "usb-Other-index0",
    }
    link = devices / "v4l" / "by-id" / "usb-HD_Webcam-index0"
    why = explain_twin(str(link), devices, classes)
    assert "is the name of two cameras, both 'HD Webcam'" in why
    assert why.endswith("give " + str(devices / "v4l" / "by-path" / "pci-usb-0:1-index0"))
    other = devices / "v4l" / "by-id" / "usb-Other-index0"
    assert explain_twin(str(other), devices, classes) == ""


def test_one_camera_of_a_model_keeps_the_name_that_lasts_at_any_port(tmp_path):
    devices, classes = plugged_in(tmp_path, twins=1)
    (webcam, _) = video_devices(devices, classes)
    assert webcam.source.name == "usb-HD_Webcam-index0"
