import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError, DataError
from conure_training.rl.replay import Batch, Episode, Field, MixedReplay, Replay, ReplayConfig

FIELDS = {"state": Field((2,)), "image": Field((2, 2, 3), torch.uint8)}
ACTION_DIM = 3

Shape = tuple[list[float], bool]
shapes = st.tuples(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=9), st.booleans())


def episode(index: int, shape: Shape) -> Episode:
    """Its observations name themselves: state = (episode, step)."""
    rewards, terminated = shape
    steps = torch.arange(len(rewards) + 1)
    state = torch.stack([torch.full_like(steps, index), steps], dim=1).float()
    image = (steps % 256).to(torch.uint8)[:, None, None, None].expand(-1, 2, 2, 3)
    action = state[:-1].sum(dim=1, keepdim=True).expand(-1, ACTION_DIM) / 7.0
    return Episode({"state": state, "image": image}, action, torch.tensor(rewards), terminated)


def filled(shapes: list[Shape], config: ReplayConfig, first_index: int = 0) -> Replay:
    replay = Replay(FIELDS, ACTION_DIM, config)
    for index, shape in enumerate(shapes):
        replay.add(episode(first_index + index, shape))
    return replay


def slow_transition(shape: Shape, step: int, config: ReplayConfig) -> tuple[float, float, int]:
    """Return, discount and step of the bootstrap observation, one reward at a time."""
    rewards, terminated = shape
    total, discount = 0.0, 1.0
    for _ in range(config.n_step):
        total += discount * rewards[step]
        discount *= config.gamma
        step += 1
        if step == len(rewards):
            return total, 0.0 if terminated else discount, step
    return total, discount, step


def tensors(batch: Batch) -> list[torch.Tensor]:
    return list(batch.named_tensors().values())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    st.lists(shapes, min_size=1, max_size=8),
    st.integers(10, 60),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.5, 0.99, 1.0]),
)
def test_every_transition_agrees_with_a_slow_oracle_also_where_the_ring_has_wrapped(
    shapes, capacity, n_step, gamma
):
    config = ReplayConfig(capacity, n_step, gamma)
    replay = filled(shapes, config)
    written = [
        (index, step)
        for index, (rewards, _) in enumerate(shapes)
        for step in range(len(rewards) + 1)
    ]
    kept = {(index, step) for index, step in written[-capacity:] if step < len(shapes[index][0])}
    assert len(replay) == len(kept)
    batch = replay.sample(40, generator())
    for i in range(40):
        index, step = (int(x) for x in batch.observation["state"][i])
        assert (index, step) in kept
        reward, discount, later = slow_transition(shapes[index], step, config)
        assert batch.reward[i].item() == pytest.approx(reward, abs=1e-5)
        assert batch.discount[i].item() == pytest.approx(discount, abs=1e-6)
        assert batch.next_observation["state"][i].tolist() == [index, later]
        assert batch.next_observation["image"][i].unique().tolist() == [later]
        assert batch.action[i].tolist() == pytest.approx(
            [(index + step) / 7.0] * ACTION_DIM, abs=1e-6
        )


def test_every_stored_transition_is_drawn_about_equally_often():
    replay = filled([([0.0] * 4, True), ([0.0] * 6, False)], ReplayConfig(capacity=50))
    _, counts = (
        replay.sample(20_000, generator()).observation["state"].unique(dim=0, return_counts=True)
    )
    assert len(counts) == 10
    assert counts.min() > 1800
    assert counts.max() < 2200


@pytest.mark.parametrize(("share", "expected"), [(0.5, 16), (0.25, 8), (0.0, 0), (1.0, 32)])
def test_mixture_draws_its_share_from_the_demonstrations(share, expected):
    config = ReplayConfig(capacity=100)
    mixed = MixedReplay(
        filled([([0.0] * 5, False)], config), filled([([0.0] * 5, True)], config, 100), share
    )
    from_demonstrations = mixed.sample(32, generator()).observation["state"][:, 0] >= 100
    assert int(from_demonstrations.sum()) == expected


def test_mixture_is_all_demonstrations_until_the_first_episode_online():
    config = ReplayConfig(capacity=100)
    mixed = MixedReplay(Replay(FIELDS, ACTION_DIM, config), filled([([1.0], True)], config, 100))
    assert (mixed.sample(32, generator()).observation["state"][:, 0] == 100).all()
    mixed.add(episode(0, ([0.0], False)))
    assert int((mixed.sample(32, generator()).observation["state"][:, 0] == 0).sum()) == 16


@given(st.lists(shapes, min_size=1, max_size=6), st.lists(shapes, max_size=3), st.integers(10, 40))
def test_a_saved_replay_goes_on_as_if_never_stopped(before, after, capacity):
    config = ReplayConfig(capacity)
    original = MixedReplay(filled(before, config), filled([([1.0], True)], config))
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    resumed = MixedReplay(Replay(FIELDS, ACTION_DIM, config), filled([([1.0], True)], config))
    resumed.add(episode(99, ([1.0] * 8, True)))  # gives way to what is loaded
    resumed.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    for mixed in (original, resumed):
        for index, shape in enumerate(after):
            mixed.add(episode(50 + index, shape))
    for ours, theirs in zip(
        tensors(original.sample(64, generator(3))),
        tensors(resumed.sample(64, generator(3))),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "config", [ReplayConfig(60), ReplayConfig(50, n_step=2), ReplayConfig(50, gamma=0.9)]
)
def test_a_replay_of_another_make_is_refused(config):
    with pytest.raises(DataError, match="this replay holds"):
        Replay(FIELDS, ACTION_DIM, config).load_state_dict(
            Replay(FIELDS, ACTION_DIM, ReplayConfig(50)).state_dict()
        )


def broken(**change: object) -> Episode:
    return Episode(**{**vars(episode(0, ([0.0] * 4, True))), **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (broken(reward=torch.tensor([0.0, 0.0, 0.0, float("nan")])), "reward is not finite"),
        (broken(action=torch.full((4, ACTION_DIM), float("inf"))), "action is not finite"),
        (broken(reward=torch.zeros(3)), r"reward has shape \(3,\); expected \(4,\)"),
        (broken(observations={"state": torch.zeros(5, 2)}), "the replay"),
        (episode(0, ([0.0] * 30, True)), "30 steps does not fit"),
        (broken(action=torch.zeros(0, ACTION_DIM)), "0 steps does not fit"),
    ],
)
def test_a_broken_episode_is_refused_and_leaves_the_replay_as_it_was(bad, message):
    replay = filled([([0.0] * 4, True)], ReplayConfig(capacity=20))
    before = tensors(replay.sample(16, generator()))
    with pytest.raises(DataError, match=message):
        replay.add(bad)
    assert all(
        torch.equal(a, b)
        for a, b in zip(before, tensors(replay.sample(16, generator())), strict=True)
    )


def test_an_empty_replay_says_so():
    with pytest.raises(DataError, match="empty"):
        Replay(FIELDS, ACTION_DIM).sample(1, generator())


@pytest.mark.parametrize(
    "change", [{"capacity": 1}, {"n_step": 0}, {"gamma": 1.1}, {"gamma": float("nan")}]
)
def test_an_unusable_configuration_is_refused(change):
    with pytest.raises(ConfigError):
        ReplayConfig(**change)
