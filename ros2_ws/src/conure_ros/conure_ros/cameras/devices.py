"""The video devices of this machine, as Linux lists them."""

import os
from dataclasses import dataclass
from pathlib import Path

DEVICES, CLASSES = Path("/dev"), Path("/sys/class/video4linux")


@dataclass(frozen=True)
class VideoDevice:
    """A device that gives frames. `source` is its persistent name, if it has one."""

    path: Path
    name: str
    source: Path
    accessible: bool


def video_devices(devices: Path = DEVICES, classes: Path = CLASSES) -> list[VideoDevice]:
    """List the devices in the order of their numbers, without a camera's further devices for
    metadata.

    Args:
        devices: Folder of the device files.
        classes: Folder in which the kernel describes them.
    """
    by_id = {link.resolve(): link for link in sorted((devices / "v4l" / "by-id").glob("*"))}
    found = []
    for path in sorted(
        devices.glob("video[0-9]*"), key=lambda path: int(path.name.removeprefix("video"))
    ):
        if _text(classes / path.name / "index") not in ("0", ""):
            continue
        name = _text(classes / path.name / "name") or "unnamed"
        accessible = os.access(path, os.R_OK | os.W_OK)
        found.append(VideoDevice(path, name, by_id.get(path.resolve(), path), accessible))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
