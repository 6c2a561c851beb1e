"""Which streams of the graph an episode lacks."""

from collections.abc import Callable, Iterable

from conure_ros.cameras.encodings import COMPRESSED

STREAMS = (
    "camera/image_raw",
    "camera/camera_info",
    "wrist/image_raw",
    "wrist/camera_info",
    "joint_states",
    "robot_state",
)
"""What comes all the time where somebody publishes it; images also compressed. Commands may rightly
be silent.
"""
PATIENCE_S = 2.0
"""An episode that has run so long lacks what has not come."""


class StreamWatch:
    """Compares what came in an episode with what the graph has.

    >>> watch = StreamWatch(lambda name: True)
    >>> watch.came("joint_states")
    >>> watch.missing(["joint_states", "camera/image_raw"])
    ['camera/image_raw']
    """

    def __init__(self, is_published: Callable[[str], bool]) -> None:
        """Begin an episode.

        Args:
            is_published: Whether somebody publishes this topic now.
        """
        self._is_published = is_published
        self._published: set[str] = set()
        self._came: set[str] = set()

    def came(self, name: str) -> None:
        """Note that a message of this topic is recorded."""
        self._came.add(name.removesuffix(COMPRESSED))

    def missing(self, streams: Iterable[str] = STREAMS) -> list[str]:
        """Streams that were published during the episode, as far as this was asked, and are not in
        it.
        """
        absent = [name for name in streams if name not in self._came]
        self._published.update(filter(self._is_published, absent))
        return [name for name in absent if name in self._published]
