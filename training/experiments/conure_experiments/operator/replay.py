"""Whether the recorded actions lift an object in the simulated scene that was recorded."""

from dataclasses import dataclass

from conure_sim.envs.tabletop import TabletopEnv
from conure_training.data.demonstrations import Demonstrations


@dataclass(frozen=True)
class Replayed:
    """One recording: whether it is labelled a success, and whether its replay lifted an object."""

    recorded: bool
    lifted: bool


def replay_picks(data: Demonstrations, env: TabletopEnv) -> list[Replayed]:
    """Repeat the executed actions of every recording from the start of its scene.

    Args:
        data: Imported recordings; `seed`: of the scene.
        env: Makes the scenes as the simulated robot did.

    Returns:
        One for each recording that is one piece. Of one that is cut, the beginning alone says
        nothing.
    """
    pieces = [info.origin.partition("#")[0] for info in data.episodes]
    found = []
    for number, info in enumerate(data.episodes):
        if pieces.count(pieces[number]) > 1:
            continue
        env.reset(seed=int(data.seed[number]))
        for action in data.action[data.steps_of(number)]:
            env.step(action)
        lifted = any(env.scene.is_lifted(item) for item in env.scene.objects)
        found.append(Replayed(info.outcome == "success", lifted))
    return found
