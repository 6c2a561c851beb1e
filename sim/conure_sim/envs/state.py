"""The state of an environment: save it, move it, resume from it, exact to the bit.

PyBullet's own saveState cannot give that. It matches contact manifolds by pair of collision
objects, so that all parts of a compound shape (a tray) get the contacts of one of them, and what
follows restoreState depends on what happened before it: bulletphysics/bullet3, issues 2982, 3993
and 4387. So a state holds how its moment is reached: the random stream before the reset, and every
command that the physics got since. Restoring resets, repeats these without camera, controller or
safety gate, and compares all positions and speeds with the saved ones: a restore is exact, or it
raises a StateError. Faster and not exact: conure_sim.envs.snapshot.

Whatever has a memory outside the physics is a `Component`, listed in `TabletopEnv.components()`.
Methods of World that change the physics after a reset are marked `@recorded` (see physics.journal).
Guaranteed in the same environment, in another one with the same settings, and in another process,
on the same build of PyBullet and the same kind of processor.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from conure_core.errors import StateError
from conure_core.types import Array
from conure_sim.physics.journal import Call, repeat

VERSION = 3


class Component(Protocol):
    """A part of an environment with its own memory beside the physics."""

    def get_state(self) -> Any:
        """A picklable copy of all that its future depends on."""

    def set_state(self, state: Any) -> None:
        """Resume from what `get_state` gave, without keeping a reference to it."""


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
        self._owner = owner
        self._names = names

    def get_state(self) -> dict[str, Any]:
        return {name: deepcopy(getattr(self._owner, name)) for name in self._names}

    def set_state(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self._owner, name, deepcopy(value))


@dataclass(frozen=True)
class Beginning:
    """The inputs of a reset."""

    random: Any
    """State of the random stream before it."""
    options: dict[str, Any]
    """Options given to `reset`."""

    @classmethod
    def of(cls, generator: np.random.Generator, options: dict[str, Any] | None) -> "Beginning":
        """Copy the inputs of a reset before anything is drawn.

        Args:
            generator: The environment's random stream.
            options: Of the reset; None: none.

        Returns:
            The copy.
        """
        return cls(deepcopy(generator.bit_generator.state), deepcopy(options or {}))


@dataclass(frozen=True)
class EnvironmentState:
    """One moment of one episode; plain data, picklable."""

    version: int
    settings: dict[str, Any]
    """Settings of the environment."""
    beginning: Beginning
    calls: tuple[Call, ...]
    """Recorded calls of World since the reset."""
    components: dict[str, Any]
    """State of every component, by name."""
    physics: Array
    """World.physics() at this moment, to check a restore with."""


class Restorable(Protocol):
    """The part of an environment that `save_state` and `restore_state` use."""

    settings: dict[str, Any]
    world: Any
    beginning: Beginning | None
    sample: Any

    @property
    def np_random(self) -> np.random.Generator: ...

    def reset(self, *, options: dict[str, Any]) -> Any: ...

    def components(self) -> dict[str, Component]: ...


def save_state(env: Restorable) -> EnvironmentState:
    """The present moment; saving changes nothing. Raises: StateError before a reset, or in an
    episode of more than MAX_CALLS commands.
    """
    calls = env.world.journal.calls()
    if env.beginning is None:
        raise StateError(
            "this moment cannot be saved: the environment was not reset yet; call reset first"
        )
    return EnvironmentState(
        version=VERSION,
        settings=dict(env.settings),
        beginning=env.beginning,
        calls=calls,
        components=get_components(env),
        physics=env.world.physics(),
    )


def restore_state(env: Restorable, state: EnvironmentState) -> None:
    """Bring an environment to a saved moment.

    Args:
        env: With the settings of the environment that was saved.
        state: From `save_state`.

    Raises:
        StateError: The state has another version or other settings, which are named, before
            anything is touched; or the moment is not reached to the bit, and the environment needs
            a reset.
    """
    check_settings(state, EnvironmentState, VERSION, env.settings)
    begin_again(env, state.beginning)
    repeat(env.world, state.calls)
    set_components(env, state.components)
    if not np.array_equal(env.world.physics(), state.physics):
        env.world.journal.stop("restoring failed; reset first")
        raise StateError(
            "the saved moment was not reached to the bit: the physics was changed past World's"
            " recorded methods, or the state comes from another build of PyBullet or kind of"
            " processor; save it again here"
        )


def begin_again(env: Restorable, beginning: Beginning) -> None:
    """Reset an environment as it was reset before.

    Args:
        env: With the same settings.
        beginning: The inputs of that reset.
    """
    env.np_random.bit_generator.state = deepcopy(beginning.random)
    env.reset(options=deepcopy(beginning.options))


def get_components(env: Restorable) -> dict[str, Any]:
    """The state of every component, by name."""
    return {name: component.get_state() for name, component in env.components().items()}


def set_components(env: Restorable, saved: dict[str, Any]) -> None:
    """Restore the state of every component.

    Args:
        env: In the episode that they were saved in.
        saved: From `get_components`.

    Raises:
        StateError: The environment has other components.
    """
    components = env.components()
    if components.keys() != saved.keys():
        raise StateError(
            f"the state holds {sorted(saved)}, this environment has {sorted(components)}"
        )
    for name, component in components.items():
        component.set_state(saved[name])


def check_settings(
    state: Any,
    kind: type[Any],
    version: int,
    settings: dict[str, Any],
) -> None:
    """Refuse what an environment cannot be brought to.

    Args:
        state: What is to be restored.
        kind: The class that it must have.
        version: The version that it must have.
        settings: Of the environment.

    Raises:
        StateError: Another class or version, or settings that differ, each of which is named.
    """
    if not isinstance(state, kind):
        made_by = "save_state()" if kind is EnvironmentState else "save_snapshot()"
        raise StateError(f"expected a state from {made_by}, got {type(state).__name__}")
    if state.version != version:
        raise StateError(
            f"the state has version {state.version}, this program reads {version}; save it again"
        )
    names = sorted(settings.keys() | state.settings.keys())
    other: list[str] = []
    for name in names:
        if not settings_equal(settings.get(name), state.settings.get(name)):
            other.append(name)
    if other:
        saved = ", ".join(f"{name}={state.settings.get(name)!r}" for name in other)
        here = ", ".join(f"{name}={settings.get(name)!r}" for name in other)
        raise StateError(
            f"the state was saved with {saved}; this environment has {here}; make one with these"
            " settings"
        )


def settings_equal(first: Any, second: Any) -> bool:
    """Tell whether two settings are equal; those that hold arrays, such as cameras, are compared as
    they are printed.

    Args:
        first: Any value.
        second: Any value.

    Returns:
        Whether they are equal.
    """
    try:
        return bool(first == second)
    except ValueError:
        return repr(first) == repr(second)
