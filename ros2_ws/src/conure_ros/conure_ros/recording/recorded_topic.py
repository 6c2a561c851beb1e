"""One topic of the recorder: a subscription that takes what the publishers offer."""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from conure_ros.cameras.encodings import COMPRESSED
from conure_ros.comms.qos import overridable
from conure_ros.comms.schemas import schema_text
from conure_ros.recording.episodes import Topic
from conure_ros.recording.offered_qos import adapt_request, describe_offers

FOLLOWED = ("reliability", "durability")
Taken = tuple[int, bytes]
"""When a message arrived, ns, and the message, serialized."""


class RecordedTopic:
    """Subscribes before anybody publishes, and again where the publishers offer something else.

    A policy that the user's `qos_overrides` set to another value than the default stays as set.
    Raw images are not read where the camera compresses them itself: they would fill disk and bus.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        kind: Any,
        profile: QoSProfile,
        on_message: Callable[[str, bytes], None],
        on_lost: Callable[[str, int], None],
        on_mismatch: Callable[[], None],
    ) -> None:
        """Subscribe.

        Args:
            node: The recorder.
            name: Name of the topic before remaps, by which the callbacks name it.
            kind: Type of its messages.
            profile: Quality to ask for while nobody publishes.
            on_message: Takes each message, serialized.
            on_lost: Takes how many messages the middleware lost.
            on_mismatch: Called where a publisher offers less than is asked for. It must not
                subscribe anew itself: it is called by the subscription.
        """
        self.node, self.name, self.kind = node, name, kind
        self.on_message, self.on_lost = on_message, on_lost
        self.on_mismatch = on_mismatch
        # As image_transport, which remaps a camera by the name of its raw images alone.
        base = name.removesuffix(COMPRESSED)
        self.full_name = node.resolve_topic_name(base) + name[len(base) :]
        keywords = overridable(profile)
        self.profile: QoSProfile = keywords["qos_profile"]
        self.subscription: Any = self._subscribe(**keywords)
        self.overridden = [
            policy
            for policy in FOLLOWED
            if getattr(self.profile, policy) != getattr(profile, policy)
        ]
        self.type_name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        self.schema = schema_text(self.type_name)

    def _subscribe(self, **keywords: Any) -> Any:
        events = SubscriptionEventCallbacks(
            message_lost=lambda info: self.on_lost(self.name, info.total_count_change),
            incompatible_qos=lambda _: self.on_mismatch(),
        )
        return self.node.create_subscription(
            self.kind,
            self.full_name,
            partial(self.on_message, self.name),
            event_callbacks=events,
            raw=True,
            **keywords,
        )

    def offered(self) -> list[QoSProfile]:
        """What each publisher that is seen now offers."""
        publishers = self.node.get_publishers_info_by_topic(self.full_name)
        return [publisher.qos_profile for publisher in publishers]

    def describe(self) -> Topic:
        """The topic as an episode that begins now holds it."""
        text = describe_offers(self.offered() or [self.profile])
        return Topic(self.full_name, self.type_name, self.schema, text)

    def follow(self) -> bool:
        """Subscribe anew where the publishers offer something else now.

        Returns:
            Whether it did.
        """
        if self.kind is Image and self.node.count_publishers(self.full_name + COMPRESSED):
            self._end()
            return False
        wanted = adapt_request(self.profile, self.offered())
        for policy in self.overridden:
            setattr(wanted, policy, getattr(self.profile, policy))
        same = all(getattr(wanted, policy) == getattr(self.profile, policy) for policy in FOLLOWED)
        if same and self.subscription is not None:
            return False
        self._end()
        self.profile = wanted
        self.subscription = self._subscribe(qos_profile=copy(wanted))
        return True

    def _end(self) -> None:
        """End the subscription, and lose nothing that has arrived."""
        for _, cdr in self.take_waiting():
            self.on_message(self.name, cdr)
        if self.subscription is not None:
            self.node.destroy_subscription(self.subscription)
            self.subscription = None

    @property
    def best_effort(self) -> bool:
        """Whether a message that is lost on the way is not sent again."""
        return bool(self.profile.reliability == ReliabilityPolicy.BEST_EFFORT)

    def take_waiting(self) -> list[Taken]:
        """Take all messages that have arrived but were not taken yet."""
        waiting: list[Taken] = []
        if self.subscription is None:
            return waiting
        handle = self.subscription.handle
        with handle:
            while (taken := handle.take_message(self.kind, True)) is not None:
                waiting.append((taken[1]["received_timestamp"], taken[0]))
        return waiting
