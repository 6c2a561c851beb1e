"""Quality of service of what is recorded: as the publishers offer it, and as rosbag2 writes it."""

import os
from collections.abc import Sequence
from copy import copy
from typing import Any

import yaml
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

NUMBERED = ("humble", "iron")
"""Distributions whose rosbag2 reads policies as the numbers of rmw; later ones read names."""
POLICIES = ("history", "reliability", "durability", "liveliness")
DURATIONS = ("deadline", "lifespan", "liveliness_lease_duration")
NANOSECONDS = 1_000_000_000


def adapt_request(request: QoSProfile, offered: Sequence[QoSProfile]) -> QoSProfile:
    """Ask for no more than every publisher offers, and for the last message where all keep it.

    Args:
        request: Profile while nobody publishes; history and depth stay.
        offered: Profile of each publisher.

    Returns:
        A profile that all of these publishers are compatible with.
    """
    if not offered:
        return request
    adapted = copy(request)
    reliable = all(one.reliability == ReliabilityPolicy.RELIABLE for one in offered)
    latched = all(one.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in offered)
    adapted.reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    adapted.durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return adapted


def describe_offers(offered: Sequence[QoSProfile], distribution: str = "") -> str:
    """Write what is offered as a channel's `offered_qos_profiles`, which `ros2 bag play` reads.

    Args:
        offered: Profile of each publisher of a topic.
        distribution: ROS distribution whose rosbag2 shall read it; '': that of the environment.

    Returns:
        A YAML list, as rosbag2_storage writes it.
    """
    numbered = (distribution or os.environ.get("ROS_DISTRO", "")) in NUMBERED
    return yaml.safe_dump([_fields(profile, numbered) for profile in offered], sort_keys=False)


def _fields(profile: QoSProfile, numbered: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"depth": profile.depth}
    for name in POLICIES:
        policy = getattr(profile, name)
        fields[name] = int(policy) if numbered else policy.name.lower()
    for name in DURATIONS:
        fields[name] = _seconds(getattr(profile, name))
    fields["avoid_ros_namespace_conventions"] = bool(profile.avoid_ros_namespace_conventions)
    return fields


def _seconds(duration: Duration) -> dict[str, int]:
    seconds, nanoseconds = divmod(int(duration.nanoseconds), NANOSECONDS)
    return {"sec": seconds, "nsec": nanoseconds}
