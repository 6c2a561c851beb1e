"""What a method of `conure rl` gives to the loop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from conure_training.rl.learners.learner import Learner, Observation
from conure_training.rl.replay import MixedReplay, Replay

Observe = Callable[[dict[str, NDArray]], dict[str, Tensor]]
Command = Callable[[Observation, Tensor], Tensor]


def _clip_to_box(observation: Observation, action: Tensor) -> Tensor:
    """Clip actions to the environment's box.

    Args:
        observation: Not used; a Command takes it.
        action: Shape (n, A).

    Returns:
        Shape (n, A), in [-1, 1].
    """
    return action.clamp(-1.0, 1.0)


@dataclass(frozen=True)
class Method:
    """What the loop needs of a method."""

    learner: Learner
    """What acts and learns."""
    replay: Replay | MixedReplay
    """Where its episodes go, and its batches come from."""
    observe: Observe
    """The environment's observation as what the learner stores, by name, without a batch
    dimension.
    """
    save: Callable[[Path, dict[str, Any]], None]
    """Writes the averaged policy, with a note."""
    command: Command = _clip_to_box
    """What the environment gets for a stored batch of observations and actions."""
    environment: Callable[[Any], Any] = lambda env: env
    """Around the bare one, e.g. to act in chunks; its `info["env_steps"]`, where it has one, says
    how many steps of the bare one an action took.
    """
    metrics: dict[str, Any] = field(default_factory=dict)
    """Metrics of the method's own, "figures" in curve.json."""
