"""A 2-D reach with one sparse reward, seconds long: two objects, and only +1 at success tells which
one is meant.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from conure_training.rl.learners.actor_critic import ActorCritic
from conure_training.rl.replay import Episode, Field, MixedReplay, Replay, ReplayConfig

IMAGE_SIZE = 16
HORIZON = 25
STEP = 0.1
REACH = 0.12


class TwoObjectFlow(nn.Module):
    """a = f(z; c), invertible: each step goes towards one object or the other by the sign of z_0,
    z_1 adds noise.
    """

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        first, second = (_unit(context[:, i : i + 2] - context[:, :2]) for i in (2, 4))
        across = torch.stack([-(first - second)[:, 1], (first - second)[:, 0]], dim=1)
        choice = torch.tanh(3.0 * z[:, :1])
        return 0.5 * ((first + second) + choice * (first - second)) + 0.1 * z[:, 1:] * across


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=1, keepdim=True).clamp(min=0.05)


class TwoObjectReach:
    """n points in [-1, 1]^2 that move by 0.1 a; the sign of a mark tells which of two objects gives
    +1 and the end.
    """

    def __init__(self, n: int, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.vectors = torch.zeros(n, 7)  # point, first object, second object, mark
        self.steps = torch.zeros(n, dtype=torch.int64)
        self.reset(torch.ones(n, dtype=torch.bool))

    def reset(self, which: Tensor) -> None:
        n = int(which.sum())
        drawn = torch.rand(n, 7, generator=self.generator) * 2.0 - 1.0
        drawn[:, :2] *= 0.3
        drawn[:, 2:4] = 0.8 * _unit(drawn[:, 2:4])
        turn = 0.5 * torch.pi + torch.pi * drawn[:, 4]
        cos, sin = turn.cos(), turn.sin()
        far = torch.stack([-drawn[:, 2], -drawn[:, 3]], dim=1)
        side = torch.stack([-drawn[:, 3], drawn[:, 2]], dim=1)
        drawn[:, 4:6] = torch.where((cos.abs() > 0.7)[:, None], far, side * sin.sign()[:, None])
        drawn[:, 6] = drawn[:, 6].sign()
        self.vectors[which] = drawn
        self.steps[which] = 0

    def observe(self, image: bool) -> dict[str, Tensor]:
        vectors = self.vectors.clone()
        if not image:
            return {"features": vectors, "state": vectors}
        return {"image": self._image(), "proprio": vectors[:, :2], "state": vectors}

    def step(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """Success and end of the episode, each (n,)."""
        self.vectors[:, :2] = (self.vectors[:, :2] + STEP * action.clamp(-1.0, 1.0)).clamp(
            -1.0, 1.0
        )
        target = torch.where(self.vectors[:, 6:] > 0, self.vectors[:, 2:4], self.vectors[:, 4:6])
        success = (self.vectors[:, :2] - target).norm(dim=1) < REACH
        self.steps += 1
        return success, success | (self.steps >= HORIZON)

    def _image(self) -> Tensor:
        """The point blue, the meant object red, the other one green, each 3x3 pixels."""
        image = torch.zeros(len(self.vectors), IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8)
        rows = torch.arange(len(self.vectors))
        meant_first = self.vectors[:, 6] > 0
        for start, channel in (
            (0, 2),
            (2, torch.where(meant_first, 0, 1)),
            (4, torch.where(meant_first, 1, 0)),
        ):
            centre = (1 + (self.vectors[:, start : start + 2] + 1.0) * (IMAGE_SIZE - 3) / 2).long()
            for x in (-1, 0, 1):
                for y in (-1, 0, 1):
                    image[rows, centre[:, 0] + x, centre[:, 1] + y, channel] = 255
        return image


def fields(image: bool) -> dict[str, Field]:
    if image:
        return {
            "image": Field((IMAGE_SIZE, IMAGE_SIZE, 3), torch.uint8),
            "proprio": Field((2,)),
            "state": Field((7,)),
        }
    return {"features": Field((7,)), "state": Field((7,))}


def episodes(env: TwoObjectReach, act, image: bool) -> Iterator[Episode | None]:
    """One vector step at a time: the episodes it finished, then None."""
    n = len(env.vectors)
    open_observations: list[list[dict[str, Tensor]]] = [[] for _ in range(n)]
    open_actions: list[list[Tensor]] = [[] for _ in range(n)]
    while True:
        observation = env.observe(image)
        action = act(observation)
        success, done = env.step(action)
        following = env.observe(image)
        for i in range(n):
            open_observations[i].append({name: value[i] for name, value in observation.items()})
            open_actions[i].append(action[i])
            if done[i]:
                rows = [
                    *open_observations[i],
                    {name: value[i] for name, value in following.items()},
                ]
                stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
                reward = torch.zeros(len(open_actions[i]))
                reward[-1] = float(success[i])
                yield Episode(stacked, torch.stack(open_actions[i]), reward, bool(success[i]))
                open_observations[i], open_actions[i] = [], []
        env.reset(done)
        yield None


def demonstrations(count: int, seed: int) -> Replay:
    """Noisy straight reaches to either object, with the reward of the one that is meant."""
    size = ReplayConfig(count * (HORIZON + 1), n_step=3, gamma=0.99)
    replay = Replay(fields(image=False), 2, size)
    generator = torch.Generator().manual_seed(seed)
    goes_first = torch.rand(1, generator=generator) < 0.5

    def expert(observation: dict[str, Tensor]) -> Tensor:
        vectors = observation["state"]
        aim = torch.where(goes_first, vectors[:, 2:4], vectors[:, 4:6]) - vectors[:, :2]
        return _unit(aim) + 0.1 * torch.randn(aim.shape, generator=generator)

    added = 0
    for episode in episodes(TwoObjectReach(1, seed), expert, image=False):
        if episode is not None:
            replay.add(episode)
            added += 1
            goes_first = torch.rand(1, generator=generator) < 0.5
        if added == count:
            break
    return replay


def train(
    learner: ActorCritic,
    replay: Replay | MixedReplay,
    steps: int,
    image: bool,
    seed: int,
    n: int = 8,
) -> None:
    """Pretrain the critics where there are demonstrations, then alternate acting and learning."""
    if isinstance(replay, MixedReplay):
        learner.fit_normalizers(replay)
        for _ in range(learner.config.critic_pretraining_updates):
            learner.update(
                replay.sample(learner.config.batch_size, learner.generator), critic_only=True
            )
    generator = torch.Generator().manual_seed(seed)
    online = replay.online if isinstance(replay, MixedReplay) else replay
    taken = 0
    for episode in episodes(
        TwoObjectReach(n, seed), lambda seen: learner.act(seen, generator), image
    ):
        if episode is not None:
            replay.add(episode)
            continue
        for _ in range(learner.config.updates_due(taken, taken + n) if len(online) else 0):
            learner.update(replay.sample(learner.config.batch_size, learner.generator))
        taken += n
        if taken >= steps:
            return


def success_rate(
    learner: ActorCritic, image: bool, count: int = 200, deterministic: bool = False
) -> float:
    generator = torch.Generator().manual_seed(1)
    env = TwoObjectReach(count, seed=12345)
    reached = torch.zeros(count, dtype=torch.bool)
    for _ in range(HORIZON):
        success, _ = env.step(learner.act(env.observe(image), generator, deterministic))
        reached |= success
    return reached.float().mean().item()
