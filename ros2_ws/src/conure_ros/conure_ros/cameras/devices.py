"""The video devices of this machine, as Linux lists them."""

import os
from collections import Counter
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
    has_twin: bool = False
    """Whether another camera has the same by-id name: only the USB port tells them apart."""


def video_devices(devices: Path = DEVICES, classes: Path = CLASSES) -> list[VideoDevice]:
    """List the devices in the order of their numbers, without a camera's further devices for
    metadata.

    Two cameras of one model without serial numbers share one link of by-id, which points to one of
    them after this start of the machine and to the other after the next: they are listed by-path.

    Args:
        devices: Folder of the device files.
        classes: Folder in which the kernel describes them.
    """
    by_id, by_path = (_links(devices / "v4l" / kind) for kind in ("by-id", "by-path"))
    paths = [
        path
        for path in sorted(
            devices.glob("video[0-9]*"), key=lambda path: int(path.name.removeprefix("video"))
        )
        if _text(classes / path.name / "index") in ("0", "")
    ]
    names = {path: _text(classes / path.name / "name") or "unnamed" for path in paths}
    unlinked = Counter(names[path] for path in paths if path.resolve() not in by_id)
    linked = Counter(names[path] for path in paths if path.resolve() in by_id)
    found = []
    for path in paths:
        name, real = names[path], path.resolve()
        has_twin = bool(linked[name] and unlinked[name])
        links = by_path if has_twin else by_id
        accessible = os.access(path, os.R_OK | os.W_OK)
        found.append(VideoDevice(path, name, links.get(real, path), accessible, has_twin))
    return found


def explain_twin(address: str, devices: Path = DEVICES, classes: Path = CLASSES) -> str:
    """Why a device's name may mean another camera after the next start of the machine, or ''.

    Args:
        address: The device as the user gave it.
        devices: Folder of the device files.
        classes: Folder in which the kernel describes them.
    """
    if "by-id" not in Path(address).parts:
        return ""
    meant = Path(address).resolve()
    for device in video_devices(devices, classes):
        if device.has_twin and device.path.resolve() == meant:
            return (
                f"{address} is the name of two cameras, both '{device.name}': after a restart it"
                f" may be the other one; give {device.source}"
            )
    return ""


def _links(folder: Path) -> dict[Path, Path]:
    """The links in a folder, by the device that they point to."""
    return {link.resolve(): link for link in sorted(folder.glob("*"), reverse=True)}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
