"""The prior's training: options, chunks, resuming and refusals, on toy demonstrations."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, DataError, SpecMismatch
from conure_sim.physics.arm_simulation import table_camera
from conure_training.data.collect import DemosConfig, collect
from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.environments import make_environment
from conure_training.evaluation.evaluate import EvaluateConfig, evaluate, run_episode
from conure_training.export.export import ExportConfig, export_policy
from conure_training.policies.chunked import ChunkedPolicy, with_execution_horizon
from conure_training.prior import trainer as prior_trainer
from conure_training.prior.chunking import HOLD_NOISE, chunk_targets
from conure_training.prior.encoder import SceneEncoder
from conure_training.prior.model import PriorSize, load_prior, prior_note
from conure_training.prior.train import PriorConfig, train_prior
from conure_training.rl.policy_file import load_policy
from conure_training.rl.train import RunConfig, train_rl
from conure_training.runtime.torch_files import save_torch

CONF = "conure_training.conf"
TINY = [
    "static_scenes=40",
    "encoder_steps=3",
    "joint_steps=2",
    "flow_steps=3",
    "batch_size=8",
    "flow_batch_size=16",
]


@pytest.fixture(scope="module", autouse=True)
def one_core():
    """However busy the others are, all trainings of this file round alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("conure_training.runtime.cpu_threads.free_cores", lambda *_: 1)
        yield


def config_of(demos: Path, out: Path, *words: str) -> PriorConfig:
    return load_config(
        CONF, "prior", PriorConfig, [f"demos={demos}", f"out={out}", "workers=1", *TINY, *words]
    )


@pytest.fixture(scope="module")
def chunked(demos: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("chunked")
    return train_prior(config_of(demos, out, "size.chunk=3", "static_scenes=0"))


@pytest.fixture(scope="module")
def whole(demos: Path, tmp_path_factory) -> Path:
    return train_prior(config_of(demos, tmp_path_factory.mktemp("whole"), "checkpoint_every=1"))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["weights"]


def same(first: Path, second: Path) -> bool:
    one, two = weights(first), weights(second)
    return all(torch.equal(one[name], two[name]) for name in one)


# --- diverging
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["flow_rate=1e30", "flow_steps=40"], r"the (loss|gradient) of the flow is (nan|inf)"),
        (
            ["encoder_rate=1e30", "encoder_steps=40"],
            r"the (loss|gradient) of the encoder is (nan|inf)",
        ),
    ],
)
def test_a_training_that_diverges_ends_with_step_and_setting_and_keeps_its_last_checkpoint(
    demos, tmp_path, words, says
):
    config = config_of(demos, tmp_path, "static_scenes=0", "checkpoint_every=1", *words)
    setting = words[0].partition("=")[0]
    remedy = rf"give a lower {setting} \(now 1e\+30\)"
    with pytest.raises(DataError, match=rf"^diverged at step \d+: {says}; {remedy}; .*checkpoint"):
        train_prior(config)
    assert not (tmp_path / "prior.pt").exists() and not (tmp_path / "metrics.json").exists()
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["prior"]
    assert all(torch.isfinite(value).all() for value in kept.values() if value.is_floating_point())


def test_weights_that_are_no_numbers_are_never_written(demos, tmp_path, monkeypatch):
    """Whatever made them so: here a step after which the loss was not looked at again."""
    step = torch.optim.AdamW.step

    def poisoned(optimizer, *arguments, **words):
        result = step(optimizer, *arguments, **words)
        optimizer.param_groups[0]["params"][0].data.fill_(float("nan"))
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", poisoned)
    config = config_of(
        demos, tmp_path, "static_scenes=0", "encoder_steps=0", "joint_steps=0", "flow_steps=1"
    )
    with pytest.raises(
        DataError, match="a weight of the flow is not finite; give a lower flow_rate"
    ):
        train_prior(config)
    assert list(tmp_path.glob("*.pt")) == []


# --- resuming
# --------------------------------------------------------------------------------------------------


class PowerCut(Exception):
    pass


def cut_after(checkpoints: int, config: PriorConfig) -> list[int]:
    """The phases that the checkpoints were of."""
    written = []

    def cut(path: Path, data: dict) -> None:
        save_torch(path, data)
        written.append(data["phase"])
        if len(written) == checkpoints:
            raise PowerCut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prior_trainer, "save_torch", cut)
        with pytest.raises(PowerCut):
            train_prior(config)
    return written


@pytest.mark.parametrize("checkpoints", [1, 3, 5])
def test_a_resumed_training_ends_as_an_uninterrupted_one(demos, whole, tmp_path, checkpoints):
    """Cut right after the first, third and fifth checkpoint: one in each of the three steps. What
    changes no result may be another one then.
    """
    config = config_of(demos, tmp_path / "cut", "checkpoint_every=1")
    assert cut_after(checkpoints, config)[-1] == {1: 0, 3: 1, 5: 2}[checkpoints]
    resumed = train_prior(replace(config, checkpoint_every=100, workers=2))
    assert same(whole, resumed)
    metrics = [json.loads((path.parent / "metrics.json").read_text()) for path in (whole, resumed)]
    assert str(metrics[0]) == str(metrics[1])
    assert not (tmp_path / "cut" / "checkpoint.pt").exists()


def test_a_checkpoint_of_another_configuration_or_a_damaged_one_is_refused(demos, tmp_path):
    config = config_of(demos, tmp_path, "static_scenes=0")
    for other, message in (
        (replace(config, flow_rate=0.5), r"its flow_rate is 0\.5, not 0\.001;"),
        (replace(config, tasks=("Lift",)), r'its tasks is \["Lift"\], not \[\];'),
    ):
        cut_after(1, replace(other, checkpoint_every=1))
        with pytest.raises(ConfigError, match=message):
            train_prior(config)
        (tmp_path / "checkpoint.pt").unlink()
    for text in ("another", json.dumps([{"seed": 0}, 17, 3])):  # earlier versions wrote a list
        save_torch(tmp_path / "checkpoint.pt", {"identity": text})
        with pytest.raises(ConfigError, match=r"another version of Conure wrote it; .* remove it"):
            train_prior(config)
    (tmp_path / "checkpoint.pt").write_bytes(b"half a check")
    with pytest.raises(DataError, match="is damaged"):
        train_prior(config)


def test_scenes_are_rendered_once_and_anew_when_what_they_were_drawn_by_changes(demos, tmp_path):
    config = config_of(demos, tmp_path, "static_scenes=8")
    train_prior(config)
    cache = tmp_path / "static_scenes.npz"
    before = cache.stat().st_mtime_ns
    train_prior(config)
    assert cache.stat().st_mtime_ns == before
    train_prior(replace(config, seed=1))
    with np.load(cache) as arrays:
        assert json.loads(str(arrays["of"]))[3] == 1
    cache.write_bytes(cache.read_bytes()[:500])
    train_prior(config)
    with np.load(cache) as arrays:
        assert len(arrays["image"]) == 8


def test_another_prior_s_scenes_save_rendering_them(demos, tmp_path, monkeypatch):
    train_prior(config_of(demos, tmp_path / "first", "static_scenes=8"))
    monkeypatch.setattr("conure_training.prior.train._render_scenes", None)
    train_prior(
        config_of(
            demos,
            tmp_path / "second",
            "static_scenes=8",
            f"scenes={tmp_path / 'first'}",
            "shift_px=2",
        )
    )
    assert not (tmp_path / "second" / "static_scenes.npz").exists()


# --- what it is trained on
# --------------------------------------------------------------------------------------------


def test_a_prior_of_chosen_tasks_and_trajectories_says_what_it_was_made_of(demos, tmp_path):
    words = ("static_scenes=0", "tasks=[Lift]", "trajectories=3")
    note = prior_note(train_prior(config_of(demos, tmp_path, *words)))
    assert list(note["config"]["tasks"]) == ["Lift"]
    assert note["config"]["trajectories"] == 3


def test_a_single_task_by_accident_is_refused(demos, tmp_path):
    words = [
        "episodes.Lift=2",
        "episodes.PlaceInTray=0",
        "episodes.PlaceInBox=0",
        f"out={tmp_path / 'lift'}",
    ]
    alone = collect(load_config(CONF, "demos", DemosConfig, [*words, "workers=1"]))
    with pytest.raises(DataError, match="one task only, Lift"):
        train_prior(config_of(alone, tmp_path / "prior"))


@pytest.mark.parametrize(
    "words", [("labelled_share=0", "labelled_demonstrations=false"), ("static_scenes=0",)]
)
def test_without_scenes_none_is_rendered(demos, tmp_path, words):
    path = train_prior(config_of(demos, tmp_path, *words))
    assert not (tmp_path / "static_scenes.npz").exists()
    assert json.loads((path.parent / "metrics.json").read_text())["labelled_scenes"] == 0


def test_without_any_label_the_auxiliary_task_is_never_asked(demos, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the auxiliary task was asked")

    monkeypatch.setattr(prior_trainer, "detection_loss", refuse)
    train_prior(config_of(demos, tmp_path, "static_scenes=0", "labelled_demonstrations=false"))
    with pytest.raises(AssertionError, match="was asked"):
        train_prior(config_of(demos, tmp_path / "other", "static_scenes=0"))


def test_labels_of_part_of_the_scenes_are_of_its_first_and_the_demonstrations_can_be_left_out(
    demos, tmp_path, monkeypatch
):
    sizes, draw = [], torch.randint
    monkeypatch.setattr(
        prior_trainer.torch, "randint", lambda high, *rest: sizes.append(high) or draw(high, *rest)
    )
    train_prior(
        config_of(
            demos, tmp_path, "labelled_share=0.1", "labelled_demonstrations=false", "joint_steps=0"
        )
    )
    assert sizes[:3] == [4, 4, 4]


def test_shifts_change_the_training_and_leave_out_the_likelihood(demos, tmp_path):
    still = train_prior(config_of(demos, tmp_path / "still", "static_scenes=0"))
    shifted = train_prior(config_of(demos, tmp_path / "shifted", "static_scenes=0", "shift_px=3"))
    assert not same(still, shifted)
    words = ("static_scenes=0", "labelled_demonstrations=false")
    still = train_prior(config_of(demos, tmp_path / "unlabelled", *words))
    shifted = train_prior(config_of(demos, tmp_path / "unlabelled shifted", *words, "shift_px=3"))
    assert same(still, shifted)


def test_the_authors_flow_is_a_setting(demos, tmp_path):
    words = ("static_scenes=0", "size.log_scale_bound=1.0", "size.final_affine=false")
    flow = load_prior(train_prior(config_of(demos, tmp_path, *words))).flow
    assert flow.affine is None
    assert flow._bound.item() == 1.0


@pytest.mark.parametrize("key", ["batch_size", "flow_batch_size"])
def test_a_batch_that_memory_cannot_hold_is_named_and_a_smaller_one_goes_on(demos, tmp_path, key):
    words = ("static_scenes=0", "checkpoint_every=1", "joint_steps=0")
    with pytest.raises(ConfigError, match=rf"out of memory with {key}=\d+; lower {key}"):
        train_prior(config_of(demos, tmp_path, *words, f"{key}=20000000000000"))
    train_prior(config_of(demos, tmp_path, *words))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("labelled_share=1.5", "labelled_share must be a finite number from 0 up to 1"),
        ("trajectories=-1", "trajectories must be a whole number from 0"),
        ("checkpoint_every=0", "checkpoint_every must be a whole number from 1"),
        ("size.chunk=0", "size.chunk must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, word, message):
    with pytest.raises(ConfigError, match=message):
        config_of(tmp_path, tmp_path, word)


# --- chunks
# --------------------------------------------------------------------------------------------------


def test_a_chunk_is_the_next_actions_and_holds_after_the_last():
    action = np.arange(5 * 7, dtype=np.float32).reshape(5, 7) / 100
    targets, whole = chunk_targets(action, np.array([3, 5]), 2)
    assert whole.tolist() == [True, True, False, True, False]
    np.testing.assert_array_equal(targets[0], action[:2].ravel())
    np.testing.assert_array_equal(targets[3], action[3:].ravel())
    for last in (2, 4):
        np.testing.assert_array_equal(targets[last, :7], action[last])
        assert 0 < np.abs(targets[last, 7:13]).max() < 6 * HOLD_NOISE
        assert targets[last, 13] == action[last, 6]


def test_chunks_of_one_are_the_actions():
    action = np.random.default_rng(0).uniform(-1, 1, (6, 7)).astype(np.float32)
    targets, whole = chunk_targets(action, np.array([2, 6]), 1)
    np.testing.assert_array_equal(targets, action)
    assert whole.all()


@pytest.mark.parametrize("execute", [0, 1, 2])
def test_a_chunked_agent_executes_its_chunk_and_decides_again(chunked, execute):
    agent = with_execution_horizon(load_policy(chunked), execute)
    assert isinstance(agent, ChunkedPolicy) and agent.noise_dim == 21
    rng = np.random.default_rng(0)
    config = load_config(CONF, "evaluate", EvaluateConfig, [])
    with make_environment("Lift", config) as env:
        observation, _ = env.reset(seed=1)
        noise = rng.standard_normal((6, 21)).astype(np.float32)
        agent.begin()
        actions = [agent.act(observation, row) for row in noise]
    every = execute or 3
    for tick, action in enumerate(actions):
        start = tick - tick % every
        whole = load_policy(chunked).graph(
            torch.from_numpy(observation["image"])[None],
            torch.from_numpy(observation["proprio"])[None],
            torch.from_numpy(noise[start])[None],
        )[0]
        part = slice(7 * (tick - start), 7 * (tick - start) + 7)
        np.testing.assert_array_equal(action, whole[0, part].numpy())


def test_episodes_of_a_chunked_agent_repeat_by_seed_whatever_came_before(chunked):
    config = load_config(CONF, "evaluate", EvaluateConfig, [])
    agent = load_policy(chunked)
    with make_environment("Lift", config) as env:
        env.reset(seed=0)
        agent.begin()
        agent.act(env.observe(), np.zeros(21, dtype=np.float32))
        first = run_episode(env, agent, 5, 1.0)
        assert run_episode(env, load_policy(chunked), 5, 1.0) == first


def test_chunks_are_evaluated_and_refused_by_name_where_one_action_a_tick_is_needed(
    chunked, demos, tmp_path
):
    words = [f"agent={chunked}", "episodes=1", "workers=1", "execute=2"]
    assert evaluate(load_config(CONF, "evaluate", EvaluateConfig, words))["success"]["trials"] == 1
    with pytest.raises(ConfigError, match=r"execute must lie in 0\.\.3"):
        evaluate(load_config(CONF, "evaluate", EvaluateConfig, [*words[:-1], "execute=4"]))
    rl = load_config(
        CONF, "rl", RunConfig, [f"demos={demos}", f"prior={chunked}", f"out={tmp_path}"]
    )
    with pytest.raises(SpecMismatch, match=r"decides 3 actions at once.*size\.chunk=1"):
        train_rl(rl)
    export = load_config(
        CONF, "export", ExportConfig, [f"agent={chunked}", f"out={tmp_path / 'bundle'}", "demos=''"]
    )
    with pytest.raises(ConfigError, match="3 actions at once"):
        export_policy(export)


def test_execute_is_refused_for_an_agent_without_chunks():
    with pytest.raises(ConfigError, match="priors over action chunks"):
        with_execution_horizon(object(), 2)


def test_priors_saved_before_chunks_are_read(demos, tmp_path):
    path = train_prior(config_of(demos, tmp_path, "static_scenes=0"))
    data = torch.load(path, weights_only=True)
    data["size"] = {name: data["size"][name] for name in ("slots", "couplings", "hidden")}
    torch.save(data, path)
    read, default = load_prior(path).size, PriorSize()
    assert (read.chunk, read.log_scale_bound, read.final_affine) == (
        1,
        default.log_scale_bound,
        default.final_affine,
    )


def test_the_encoder_s_cells_know_where_they_are_as_if_coordinates_were_channels_of_the_grid():
    encoder = SceneEncoder(table_camera(48), 11).double()
    grid = torch.randn(3, 48, *encoder.grid, dtype=torch.float64)
    joined = torch.cat([grid, encoder.coordinates.expand(3, -1, -1, -1)], dim=1)
    plain = torch.nn.functional.conv2d(
        joined, encoder.body[0].weight, encoder.body[0].bias, padding=1
    )
    torch.testing.assert_close(encoder.body[0](grid, encoder.coordinates), plain)


def test_images_reach_the_encoder_channels_last(demos):
    data = load_demonstrations(demos)
    encoder, seen = SceneEncoder(table_camera(48), data.proprio.shape[1]), []
    encoder.stem.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    encoder(torch.from_numpy(data.image[:2]), torch.from_numpy(data.proprio[:2]))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
