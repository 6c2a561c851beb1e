"""The physics of one moment as bytes: Bullet's own state, and what World remembers beside it.

The bytes are what `saveBullet` writes. They hold poses, speeds and contact points, and fit every
client with the same bodies, which states in memory do not: PyBullet drops those with the bodies at
a reset.
"""

import os
import zlib
from dataclasses import dataclass
from typing import Any

import pybullet

from conure_core.control.interpolation import LinearFollower
from conure_core.errors import StateError
from conure_core.types import Array
from conure_sim.physics.servo_model import ServosState

COMPRESSION = 1
APART_M = 10.0
AWAY_M = 50.0


@dataclass(frozen=True)
class PhysicsSnapshot:
    """One moment of a World; plain data, picklable."""

    bullet: bytes
    """What `saveBullet` wrote, compressed by zlib."""
    follower: LinearFollower
    """The motion of the motors' set point."""
    powered: Array | None
    """See `World.power`."""
    servos: ServosState | None = None
    """State of measured servos; None without."""


def dump_bullet(client: Any) -> bytes:
    """The state of a PyBullet client, compressed."""
    file = os.memfd_create("conure-save")
    try:
        client.saveBullet(_path(file))
        return zlib.compress(_read(file), COMPRESSION)
    finally:
        os.close(file)


def load_bullet(client: Any, bullet: bytes) -> None:
    """Put a PyBullet client into a state.

    Args:
        client: With the bodies of the client that was saved, in the same order.
        bullet: From `dump_bullet`.

    Raises:
        StateError: The bodies differ.
    """
    file = os.memfd_create("conure-load")
    try:
        os.write(file, zlib.decompress(bullet))
        # Bullet keeps files by their name, and would give an earlier one of the same number.
        client.setPhysicsEngineParameter(enableFileCaching=0)
        client.restoreState(fileName=_path(file))
    except pybullet.error as error:
        raise StateError(
            "the snapshot does not fit the bodies on this table; reset, then save it again"
        ) from error
    finally:
        client.setPhysicsEngineParameter(enableFileCaching=1)
        os.close(file)


def scatter(client: Any, bodies: list[int]) -> None:
    """Move bodies far apart, so that Bullet drops every contact and what it kept about pairs.

    Args:
        client: PyBullet client.
        bodies: All bodies that collide with anything.
    """
    for index, body in enumerate(bodies):
        away = [APART_M * (index + 1), AWAY_M, AWAY_M]
        client.resetBasePositionAndOrientation(body, away, [0, 0, 0, 1])
    client.performCollisionDetection()


def _path(file: int) -> str:
    return f"/proc/self/fd/{file}"


def _read(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)
