"""The policy's networks on what a robot sees, the value function on the privileged state."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.contract.spec import Contract
from conure_sim.scenes.scene import MAX_OBJECTS, PRESENCE, SLOT_STATE
from conure_training.nn.image_encoder import SmallImageEncoder
from conure_training.nn.mlp import mlp
from conure_training.nn.running_normalizer import RunningNormalizer
from conure_training.prior.model import Prior, PriorSize
from conure_training.rl.on_policy.networks import ActorCriticNetwork, NetworkSize
from conure_training.rl.on_policy.observations import Rows

POSITION_SCALE_M = 0.1
"""Unit of the auxiliary head's positions."""
ENCODED_AT_ONCE = 256
"""Images that are encoded at once where no gradient is needed."""


@dataclass(frozen=True)
class AsymmetricSize(NetworkSize):
    """Of a policy that sees less than its value function; `observation` is the state's size."""

    privileged_value: bool = True
    """Whether the value function sees the state; False: what the policy sees."""


@dataclass(frozen=True)
class PixelSize(AsymmetricSize):
    """Of a policy on image and proprioception."""

    image_px: int = 64
    """Height and width of the image."""
    image_features: int = 64
    """Values that the encoder makes of it."""
    proprio: int = 16
    """Values of the proprioception."""
    objects: int = 0
    """Where the objects begin in the state, see `state_layout`."""
    auxiliary_weight: float = 0.0
    """Of the loss of object positions; 0: no head."""

    def make(self) -> "PixelNetwork":
        return PixelNetwork(self)


@dataclass(frozen=True)
class LatentSize(AsymmetricSize):
    """Of a policy on a prior's features that chooses z."""

    prior: dict[str, Any] = field(default_factory=dict)
    """Fields of the prior's PriorSize."""
    contract: dict[str, Any] = field(default_factory=dict)
    """The prior's contract, plain."""

    def make(self) -> "LatentNetwork":
        return LatentNetwork(self)


class AsymmetricNetwork(ActorCriticNetwork):
    """pi(a | what is seen), V(privileged state). Observations are arrays by name, with `state`.

    Source: Pinto et al., Asymmetric Actor Critic for Image-Based Robot Learning, arXiv 1710.06542.
    """

    size: AsymmetricSize
    normalize_state: RunningNormalizer

    def _add_asymmetric_heads(self, encoded: int) -> None:
        size = self.size
        self.normalize_state = RunningNormalizer(size.observation)
        self._add_heads(encoded, size.observation if size.privileged_value else 0)

    def _critic_input(self, observation: Rows, actor: Tensor) -> Tensor:
        if not self.size.privileged_value:
            return actor
        state: Tensor = self.normalize_state(observation["state"])
        return state


class PixelNetwork(AsymmetricNetwork):
    """A convolutional encoder and proprioception, then the GRU, then the actor.

    Observations: `image` (n, H, W, 3) uint8, `proprio` (n, P), `state` (n, S). The encoder's other
    head predicts where objects are, from the image alone.
    """

    size: PixelSize

    def __init__(self, size: PixelSize) -> None:
        nn.Module.__init__(self)
        self.size = size
        self.image_encoder = SmallImageEncoder(size.image_px, size.image_px, size.image_features)
        self.normalize = RunningNormalizer(size.proprio)
        self._add_asymmetric_heads(size.image_features + size.proprio)
        self.locate = None
        if size.auxiliary_weight:
            self.locate = mlp([size.image_features, 128, 3 * MAX_OBJECTS])

    def policy_parameters(self) -> list[nn.Parameter]:
        return [*self.image_encoder.parameters(), *super().policy_parameters()]

    def update_normalizers(self, observation: Rows) -> None:
        self.normalize.update(observation["proprio"])
        self.normalize_state.update(observation["state"])

    def encode(self, observation: Rows) -> Tensor:
        return torch.cat(
            [self._encode_images(observation["image"]), self.normalize(observation["proprio"])],
            dim=-1,
        )

    def _encode_images(self, image: Tensor) -> Tensor:
        """Features, (n, image_features); in parts where none needs a gradient, to save memory."""
        if torch.is_grad_enabled():
            whole: Tensor = self.image_encoder(image)
            return whole
        return torch.cat([self.image_encoder(part) for part in image.split(ENCODED_AT_ONCE)])

    def auxiliary_loss(self, observation: Rows, encoded: Tensor) -> Tensor | None:
        if self.locate is None:
            return None
        first = self.size.objects
        slots = observation["state"][:, first : first + MAX_OBJECTS * SLOT_STATE]
        slots = slots.unflatten(1, (MAX_OBJECTS, SLOT_STATE))
        found = self.locate(encoded[:, : self.size.image_features])
        error = position_error(found.unflatten(1, (MAX_OBJECTS, 3)), slots)
        return self.size.auxiliary_weight * error


def position_error(found: Tensor, slots: Tensor) -> Tensor:
    """Compute the auxiliary head's loss: mean squared distance over the objects that are there.

    Args:
        found: Predicted positions, shape (n, objects, 3), in POSITION_SCALE_M, base frame.
        slots: The objects' part of the privileged state, shape (n, objects, SLOT_STATE).

    Returns:
        A scalar, in POSITION_SCALE_M squared; 0 where there is no object.
    """
    present = slots[..., PRESENCE]
    wanted = slots[..., :3] / POSITION_SCALE_M
    squared = (found - wanted).square().sum(dim=-1)
    return (present * squared).sum() / present.sum().clamp(min=1.0)


class LatentNetwork(AsymmetricNetwork):
    """pi(z | features of a frozen prior); environments get a = f(z; features).

    Episodes hold `features` (n, F) and `state` (n, S), not the images. Before the first update z is
    nearly N(0, I): the first episodes are the prior's.
    """

    size: LatentSize

    def __init__(self, size: LatentSize) -> None:
        nn.Module.__init__(self)
        self.size = size
        self.prior = Prior(Contract.from_dict(size.contract), PriorSize(**size.prior))
        self.prior.eval().requires_grad_(False)
        self.normalize = RunningNormalizer(self.prior.encoder.feature_dim)
        self._add_asymmetric_heads(self.prior.encoder.feature_dim)

    def update_normalizers(self, observation: Rows) -> None:
        self.normalize.update(observation["features"])
        self.normalize_state.update(observation["state"])

    @torch.no_grad()
    def perceive(self, observation: Rows) -> Rows:
        features = self.prior.encoder(observation["image"], observation["proprio"])
        return {"features": features, "state": observation["state"]}

    @torch.no_grad()
    def command(self, observation: Rows, action: Tensor) -> Tensor:
        return self.prior.flow.decode(action, observation["features"]).clamp(-1.0, 1.0)

    def encode(self, observation: Rows) -> Tensor:
        encoded: Tensor = self.normalize(observation["features"])
        return encoded
