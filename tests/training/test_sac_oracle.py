"""Our SAC against stable-baselines3's: same weights, batches and noise, same updates; alone, the
same return.
"""

from copy import deepcopy

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor, nn

from conure_training.rl.methods.scratch import Sac, ScratchConfig
from conure_training.rl.replay import Batch, Episode, Field, Replay, ReplayConfig

torch.set_num_threads(1)
SIZE, PROPRIO, STATE, ACTION, ROWS = 8, 3, 4, 2, 64
IMAGE = SIZE * SIZE * 3
GAMMA = 0.9
# Adam makes a whole step of a gradient that is nothing but rounding, unless what it divides by has
# a floor.
ADAM_EPS = 1e-4
CONFIG = ScratchConfig(
    hidden_width=32,
    batch_size=ROWS,
    image_features=8,
    initial_alpha=0.2,
    learning_rate=1e-3,
    alpha_learning_rate=1e-3,
    max_gradient_norm=1e9,  # stable-baselines3 limits no gradient
)


class ActorFeatures(BaseFeaturesExtractor):
    """Our policy's encoder on rows of (image, proprio, state)."""

    def __init__(self, space: gymnasium.spaces.Box, sac: Sac) -> None:
        super().__init__(space, CONFIG.image_features + PROPRIO)
        self.encoder, self.normalize = deepcopy(sac.policy.encoder), deepcopy(sac.policy.normalize)

    def forward(self, rows: Tensor) -> Tensor:
        image = rows[:, :IMAGE].reshape(-1, SIZE, SIZE, 3)
        return torch.cat(
            [self.encoder(image), self.normalize(rows[:, IMAGE : IMAGE + PROPRIO])], dim=1
        )


class CriticFeatures(BaseFeaturesExtractor):
    """What our critics see of the same rows: the state."""

    def __init__(self, space: gymnasium.spaces.Box) -> None:
        super().__init__(space, STATE)

    def forward(self, rows: Tensor) -> Tensor:
        return rows[:, -STATE:]


class LogStd(nn.Linear):
    """Our smooth limit on log std."""

    def forward(self, x: Tensor) -> Tensor:
        return 4.0 * torch.tanh(super().forward(x) / 4.0)


class Rows(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(
        -np.inf, np.inf, (IMAGE + PROPRIO + STATE,), np.float32
    )
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTION,), np.float32)


def twin_of(sac: Sac) -> SAC:
    """stable-baselines3's SAC with the networks and weights of ours, and Adam as ours has it."""
    rates = {"learning_rate": CONFIG.learning_rate, "gamma": GAMMA, "tau": CONFIG.polyak}
    twin = SAC(
        "MlpPolicy",
        Rows(),
        **rates,
        ent_coef=f"auto_{CONFIG.initial_alpha}",
        target_entropy=-ACTION,
        device="cpu",
    )
    twin.set_logger(Logger(None, []))
    actor = twin.policy.actor
    actor.features_extractor = ActorFeatures(Rows.observation_space, sac)
    *trunk, last = deepcopy(sac.policy.head.trunk)
    actor.latent_pi = nn.Sequential(sac.policy.head.normalize, *trunk)
    actor.mu, actor.log_std = nn.Linear(last.in_features, ACTION), LogStd(last.in_features, ACTION)
    for layer, rows in ((actor.mu, slice(0, ACTION)), (actor.log_std, slice(ACTION, None))):
        layer.load_state_dict(
            {"weight": last.weight[rows].clone(), "bias": last.bias[rows].clone()}
        )
    for critic in (twin.policy.critic, twin.policy.critic_target):
        critic.features_extractor = CriticFeatures(Rows.observation_space)
        critic.q_networks = [deepcopy(member) for member in sac.critics.members]
        critic.qf0, critic.qf1 = critic.q_networks
    actor.optimizer = torch.optim.Adam(actor.parameters(), CONFIG.learning_rate, eps=ADAM_EPS)
    networks = nn.ModuleList(twin.policy.critic.q_networks)
    # Their critics' loss is half of ours, and so are its gradients.
    twin.policy.critic.optimizer = torch.optim.Adam(
        networks.parameters(), CONFIG.learning_rate, eps=ADAM_EPS / 2
    )
    twin._create_aliases()
    return twin


def random_batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def observation() -> dict[str, Tensor]:
        image = torch.randint(0, 256, (ROWS, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
        vectors = {
            n: torch.randn(ROWS, d, generator=generator)
            for n, d in (("proprio", PROPRIO), ("state", STATE))
        }
        return {"image": image, **vectors}

    done = torch.rand(ROWS, generator=generator) < 0.3
    action = torch.randn(ROWS, ACTION, generator=generator).tanh()
    reward = torch.randn(ROWS, generator=generator)
    return Batch(observation(), action, reward, observation(), GAMMA * (~done).float())


class Given:
    """A replay that hands out this one batch, in stable-baselines3's form."""

    def __init__(self, batch: Batch) -> None:
        def rows(seen: dict[str, Tensor]) -> Tensor:
            return torch.cat(
                [seen["image"].flatten(1).float(), seen["proprio"], seen["state"]], dim=1
            )

        done = (batch.discount == 0).float()[:, None]
        seen, following = rows(batch.observation), rows(batch.next_observation)
        self.samples = ReplayBufferSamples(
            seen, batch.action, following, done, batch.reward[:, None]
        )

    def sample(self, *_, **__) -> ReplayBufferSamples:
        return self.samples


def noise_of(sac: Sac) -> list[Tensor]:
    """What our next update draws, in the order in which stable-baselines3 asks for it: the actor's
    first.
    """
    generator = torch.Generator().set_state(sac.generator.get_state())
    following, present = (torch.randn(ROWS, ACTION, generator=generator) for _ in range(2))
    return [present, following]


def test_the_same_weights_batches_and_noise_give_the_same_losses_targets_and_weights(
    monkeypatch,
) -> None:
    torch.manual_seed(0)
    sac = Sac(SIZE, PROPRIO, STATE, ACTION, CONFIG)
    for name in ("critics", "policy"):
        sac._optimizers[name].param_groups[0]["eps"] = ADAM_EPS
    nn.init.normal_(sac.policy.head.trunk[-1].weight, std=0.1)
    twin, targets, noise = twin_of(sac), [], []
    monkeypatch.setattr(
        torch.distributions.normal, "_standard_normal", lambda *_, **__: noise.pop(0)
    )
    mse_loss = torch.nn.functional.mse_loss
    monkeypatch.setattr(
        "stable_baselines3.sac.sac.F.mse_loss",
        lambda q, target: (targets.append(target), mse_loss(q, target))[1],
    )
    for seed in range(5):
        batch, targets[:], noise[:] = random_batch(seed), [], noise_of(sac)
        twin.replay_buffer = Given(batch)
        twin.train(1, ROWS)
        wanted_target, logged = targets[0][:, 0], twin.logger.name_to_value
        metrics = sac.update(batch)
        assert metrics["target_q"] == pytest.approx(wanted_target.mean().item(), abs=1e-4)
        assert metrics["critic_loss"] == pytest.approx(
            2.0 * logged["train/critic_loss"], rel=1e-4
        )  # theirs is halved
        assert metrics["actor_loss"] == pytest.approx(logged["train/actor_loss"], abs=2e-4)
        assert sac.alpha == pytest.approx(twin.log_ent_coef.exp().item(), rel=1e-4)
        twin.logger.name_to_value.clear()
    for ours, theirs in zip(sac.critics.members, twin.critic.q_networks, strict=True):
        assert_alike(ours, theirs)
    for ours, theirs in zip(sac.target_critics.members, twin.critic_target.q_networks, strict=True):
        assert_alike(ours, theirs)
    assert_alike(sac.policy.encoder, twin.actor.features_extractor.encoder)


def assert_alike(ours: nn.Module, theirs: nn.Module) -> None:
    """Up to a tenth of one of Adam's steps."""
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(
            value, theirs.state_dict()[name], rtol=0, atol=0.1 * CONFIG.learning_rate, msg=name
        )


# --- a run of each
# --------------------------------------------------------------------------------------------------

HORIZON, EPISODES = 10, 70


class PointMass(gymnasium.Env):
    """A point on a line, pushed for ten steps; each costs its distance from the middle. Staying put
    returns -5.
    """

    observation_space = gymnasium.spaces.Box(-2.0, 2.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.left = self.np_random.uniform(-1.0, 1.0), HORIZON
        return self._seen(), {}

    def step(self, action):
        self.place = float(np.clip(self.place + 0.3 * float(action[0]), -1.5, 1.5))
        self.left -= 1
        return self._seen(), -abs(self.place), self.left == 0, False, {}

    def _seen(self):
        return np.array([self.place, self.left / HORIZON], dtype=np.float32)


def mean_return(choose, episodes: int = 50) -> float:
    env, total = PointMass(), 0.0
    for seed in range(episodes):
        (seen, _), ended = env.reset(seed=seed), False
        while not ended:
            seen, reward, ended, _, _ = env.step(choose(seen))
            total += reward
    return total / episodes


def our_return(seed: int = 0) -> float:
    """Ours sees the point in its proprioception, beside an image that shows nothing."""
    config = ScratchConfig(
        hidden_width=64,
        batch_size=64,
        image_features=4,
        learning_rate=1e-3,
        alpha_learning_rate=1e-3,
    )
    sac, env = Sac(SIZE, 2, 2, 1, config, seed), PointMass()
    fields = {
        "image": Field((SIZE, SIZE, 3), torch.uint8),
        "proprio": Field((2,)),
        "state": Field((2,)),
    }
    replay, generator = (
        Replay(fields, 1, ReplayConfig(5000, n_step=1, gamma=0.99)),
        torch.Generator().manual_seed(seed),
    )

    def observed(seen: np.ndarray) -> dict[str, Tensor]:
        vector = torch.from_numpy(seen)
        return {
            "image": torch.zeros(SIZE, SIZE, 3, dtype=torch.uint8),
            "proprio": vector,
            "state": vector,
        }

    def choose(seen: np.ndarray, deterministic: bool = True) -> np.ndarray:
        row = {name: value[None] for name, value in observed(seen).items()}
        return sac.act(row, generator, deterministic)[0].numpy()

    for episode in range(EPISODES):
        rows, actions, rewards, ended = [env.reset(seed=1000 + episode)[0]], [], [], False
        while not ended:
            actions.append(choose(rows[-1], deterministic=False))
            seen, reward, ended, _, _ = env.step(actions[-1])
            rows.append(seen)
            rewards.append(reward)
        stacked = [observed(row) for row in rows]
        seen = {name: torch.stack([row[name] for row in stacked]) for name in fields}
        replay.add(
            Episode(seen, torch.from_numpy(np.stack(actions)), torch.tensor(rewards).float(), True)
        )
        for _ in range(HORIZON):
            sac.update(replay.sample(64, sac.generator))
    return mean_return(choose)


def their_return(seed: int = 0) -> float:
    networks = {"net_arch": [64, 64]}
    rates = {
        "learning_rate": 1e-3,
        "ent_coef": f"auto_{ScratchConfig().initial_alpha}",
        "learning_starts": HORIZON,
    }
    model = SAC(
        "MlpPolicy",
        PointMass(),
        **rates,
        batch_size=64,
        policy_kwargs=networks,
        seed=seed,
        device="cpu",
    )
    model.set_logger(Logger(None, []))  # its own would leave a folder in /tmp
    model.learn(EPISODES * HORIZON)
    return mean_return(lambda seen: model.predict(seen, deterministic=True)[0])


def test_a_short_run_reaches_the_return_that_stable_baselines_reaches() -> None:
    idle = mean_return(lambda seen: np.zeros(1))
    ours, theirs = our_return(), their_return()
    assert theirs > 0.5 * idle, "the peer itself has to learn, or there is nothing to compare with"
    assert ours == pytest.approx(theirs, abs=0.05 * abs(idle))
