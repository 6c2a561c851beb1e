"""The state of an environment: save it, carry it elsewhere, go on from it, exact to the bit.

PyBullet's own saveState cannot give that. It matches contact manifolds by pair of collision
objects, so that all parts of a compound shape (a tray) get the contacts of one of them, and what
goes on after restoreState depends on what happened before it: bulletphysics/bullet3, issues 2982,
3993 and 4387. So a state holds how its moment is reached: the random stream before the reset, and
every command that the physics got since. Restoring resets, repeats these without camera, controller
or safety gate, and compares all positions and speeds with the saved ones: a restore is exact, or it
is a StateError.

What has a memory outside the physics is a `Component`, listed in `TabletopEnv.components()`.
Methods of World that change the physics after a reset are marked `@recorded` (see physics.journal).
Guaranteed in the same environment, in another one with the same settings, and in another process,
on the same build of PyBullet and the same kind of processor.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import StateError
from conure_sim.physics.journal import Call, repeat

VERSION = 2


class Component(Protocol):
    """Something with a memory of its own beside the physics."""

    def get_state(self) -> Any:
        """A picklable copy of all that its future depends on."""

    def set_state(self, state: Any) -> None:
        """Go on from what `get_state` gave, without keeping a hold on it."""


class RandomStream:
    """A random generator as a component."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def get_state(self) -> Any:
        return deepcopy(self._generator.bit_generator.state)

    def set_state(self, state: Any) -> None:
        self._generator.bit_generator.state = deepcopy(state)


class Attributes:
    """Plain attributes of an object, such as step counters, as a component."""

    def __init__(self, owner: Any, *names: str) -> None:
        self._owner, self._names = owner, names

    def get_state(self) -> dict[str, Any]:
        return {name: deepcopy(getattr(self._owner, name)) for name in self._names}

    def set_state(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self._owner, name, deepcopy(value))


@dataclass(frozen=True)
class Beginning:
    """What a reset depends on: the state of the random stream before it, and its options."""

    random: Any
    options: dict[str, Any]

    @classmethod
    def of(cls, generator: np.random.Generator, options: dict[str, Any] | None) -> "Beginning":
        """Before anything is drawn."""
        return cls(deepcopy(generator.bit_generator.state), deepcopy(options or {}))


@dataclass(frozen=True)
class EnvironmentState:
    """One moment of one episode; plain data, picklable. `physics`: World.physics() then, to check a
    restore with.
    """

    version: int
    settings: dict[str, Any]
    beginning: Beginning
    calls: tuple[Call, ...]
    components: dict[str, Any]
    physics: NDArray[np.float64]


class Restorable(Protocol):
    """What `save_state` and `restore_state` need of an environment."""

    settings: dict[str, Any]
    world: Any
    beginning: Beginning | None

    @property
    def np_random(self) -> np.random.Generator: ...

    def reset(self, *, options: dict[str, Any]) -> Any: ...

    def components(self) -> dict[str, Component]: ...


def save_state(env: Restorable) -> EnvironmentState:
    """The present moment; saving changes nothing. Raises: StateError before a reset, or in an
    episode without end.
    """
    calls = env.world.journal.calls()
    if env.beginning is None:
        raise StateError(
            "this moment cannot be saved: the environment was not reset yet; call reset first"
        )
    components = {name: component.get_state() for name, component in env.components().items()}
    return EnvironmentState(
        VERSION, dict(env.settings), env.beginning, calls, components, env.world.physics()
    )


def restore_state(env: Restorable, state: EnvironmentState) -> None:
    """Bring the environment to a saved moment.

    Raises: StateError for a state of another version or other settings, naming what differs, before
    anything is touched; or if the moment is not reached to the bit: then the environment needs a
    reset.
    """
    _check(state, env.settings)
    env.np_random.bit_generator.state = deepcopy(state.beginning.random)
    env.reset(options=deepcopy(state.beginning.options))
    repeat(env.world, state.calls)
    components = env.components()
    if components.keys() != state.components.keys():
        raise StateError(
            f"the state holds {sorted(state.components)}, this environment has {sorted(components)}"
        )
    for name, component in components.items():
        component.set_state(state.components[name])
    if not np.array_equal(env.world.physics(), state.physics):
        env.world.journal.stop("restoring failed; reset first")
        raise StateError(
            "the saved moment was not reached to the bit: the physics was changed past World's"
            " recorded methods, or the state comes from another build of PyBullet or kind of"
            " processor; save it again here"
        )


def _check(state: EnvironmentState, settings: dict[str, Any]) -> None:
    """Raises: StateError naming every setting in which a state differs from this environment."""
    if not isinstance(state, EnvironmentState):
        raise StateError(f"expected a state from save_state(), got {type(state).__name__}")
    if state.version != VERSION:
        raise StateError(
            f"the state has version {state.version}, this program reads {VERSION}; save it again"
        )
    names = sorted(settings.keys() | state.settings.keys())
    other = [name for name in names if not _equal(settings.get(name), state.settings.get(name))]
    if other:
        saved = ", ".join(f"{name}={state.settings.get(name)!r}" for name in other)
        here = ", ".join(f"{name}={settings.get(name)!r}" for name in other)
        raise StateError(
            f"the state was saved with {saved}; this environment has {here}; make one with these"
            " settings"
        )


def _equal(first: Any, second: Any) -> bool:
    """Whether two settings are equal; those that hold arrays, such as cameras, are compared as they
    are printed.
    """
    try:
        return bool(first == second)
    except ValueError:
        return repr(first) == repr(second)
