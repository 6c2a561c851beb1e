"""The fast way back to a moment: Bullet's own state, with what Python remembers beside it.

`restore_state` repeats an episode and is exact. A snapshot jumps, in milliseconds. All positions
and speeds are those of the moment, to the bit, or restoring raises a StateError. So are controller,
safety gate, delays, captured frames, random stream and the count of steps. Contacts may differ:

- Bullet finds the contact points of the moment by pair of bodies, so that all parts of a compound
  shape (a tray, a mug, a cabinet) get the points of one of them until they are found anew.
- What Bullet keeps about a pair of shapes beside its points, such as the last separating axis, is
  lost, and so is the order in which pairs met. Rounding then differs, and what rolls or slides
  freely, such as the spheres of `Pour`, ends elsewhere.

`conure bench sim rows=[restore]` measures how much that changes what follows.

The scene of the moment is rebuilt where the environment has another one. After a rebuild, what
follows is the same to the bit every time, in every process; without one it may also depend on what
happened in this environment before. `rebuild=True` asks for that, and such an episode can be saved
by `save_state` as well.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from conure_core.errors import StateError
from conure_core.types import Array
from conure_sim.envs.state import (
    Beginning,
    Restorable,
    begin_again,
    check_settings,
    get_components,
    set_components,
    settings_equal,
)
from conure_sim.physics.snapshot import PhysicsSnapshot
from conure_sim.randomization.factors import RandomizationSample

VERSION = 1


@dataclass(frozen=True)
class Snapshot:
    """One moment of one episode; plain data, picklable, some 15 kB beside the images."""

    version: int
    settings: dict[str, Any]
    """Settings of the environment."""
    beginning: Beginning
    """Which scene it is."""
    sample: RandomizationSample
    """The episode's draw of the randomization."""
    components: dict[str, Any]
    """State of every component, by name."""
    physics: PhysicsSnapshot
    positions: Array
    """World.physics() at this moment, to check a restore with."""


def save_snapshot(env: Restorable) -> Snapshot:
    """The present moment; saving changes nothing. Raises: StateError before a reset."""
    if env.beginning is None:
        raise StateError("there is no moment to save: the environment was not reset yet")
    return Snapshot(
        version=VERSION,
        settings=dict(env.settings),
        beginning=env.beginning,
        sample=env.sample,
        components=get_components(env),
        physics=env.world.save_physics(),
        positions=env.world.physics(),
    )


def restore_snapshot(
    env: Restorable,
    snapshot: Snapshot,
    rebuild: bool = False,
) -> None:
    """Bring an environment to the moment of a snapshot.

    Args:
        env: With the settings of the environment that was saved.
        snapshot: From `save_snapshot`.
        rebuild: Whether to build the scene anew even if it is there already, so that what follows
            does not depend on what happened before.

    Raises:
        StateError: The snapshot has another version or other settings, which are named, before
            anything is touched; or the scene cannot be rebuilt, and the environment needs a reset.
    """
    check_settings(snapshot, Snapshot, VERSION, env.settings)
    if rebuild or not _has_scene(env, snapshot):
        begin_again(env, snapshot.beginning)
        if not _has_scene(env, snapshot):
            raise _failed(
                env,
                "this environment draws another scene from the snapshot's seed: its randomization"
                " was changed, or the snapshot comes from another version; save it again here",
            )
        env.world.restore_physics(snapshot.physics)
    else:
        env.world.restore_physics(snapshot.physics)
        env.world.journal.stop(
            "the episode goes on from a snapshot; restore that with rebuild=True, or save a"
            " snapshot"
        )
    set_components(env, snapshot.components)
    if not np.array_equal(env.world.physics(), snapshot.positions):
        raise _failed(
            env,
            "the moment of the snapshot was not reached to the bit: it comes from another build of"
            " PyBullet; save it again here",
        )


def _has_scene(env: Restorable, snapshot: Snapshot) -> bool:
    """Whether the environment has the scene of the snapshot, bodies and dynamics."""
    if env.beginning is None or env.sample != snapshot.sample:
        return False
    same_options = settings_equal(env.beginning.options, snapshot.beginning.options)
    same_seed = bool(env.beginning.random == snapshot.beginning.random)
    same_bodies = len(env.world.physics()) == len(snapshot.positions)
    return same_seed and same_options and same_bodies


def _failed(env: Restorable, why: str) -> StateError:
    env.world.journal.stop("restoring failed; reset first")
    return StateError(why)


class FastRestore(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose `save_state` and `restore_state` are snapshots, for code that knows
    those two names alone.

    >>> env = FastRestore(gymnasium.make("conure/Lift-v0", images=False).unwrapped)
    >>> state = env.save_state(); env.restore_state(state)
    """

    def __init__(self, env: gymnasium.Env[Any, Any], rebuild: bool = False) -> None:
        """Wrap an environment.

        Args:
            env: A TabletopEnv.
            rebuild: See `restore_snapshot`; True where a run must repeat itself to the bit.
        """
        super().__init__(env)
        self.rebuild = rebuild
        self._bare: Any = env.unwrapped

    def save_state(self) -> Snapshot:
        """See `save_snapshot`."""
        return save_snapshot(self._bare)

    def restore_state(self, state: Snapshot) -> None:
        """See `restore_snapshot`."""
        restore_snapshot(self._bare, state, self.rebuild)

    def observe(self) -> Any:
        """The observation of the present moment."""
        return self._bare.observe()
