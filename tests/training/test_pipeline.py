"""Demonstrations, prior and learners at toy size: the verbs' promises about data, resuming and
damage.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import zarr

from conure_core.cli import main
from conure_core.config.loader import load_config
from conure_core.errors import ConfigError, ConureError, DataError, SpecMismatch
from conure_core.robot.description import load_robot
from conure_sim.objects.fixtures import CONTAINERS
from conure_sim.scenes.scene import MAX_OBJECTS, SLOT_STATE
from conure_training.data.collect import DemosConfig, collect
from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.environments import make_environment
from conure_training.evaluation.evaluate import EvaluateConfig, evaluate
from conure_training.evaluation.outcomes import load_evaluation
from conure_training.policies.latent import LatentPolicy
from conure_training.prior.feature_cache import Encoded
from conure_training.prior.model import load_prior
from conure_training.prior.train import PriorConfig, train_prior
from conure_training.rl.demonstrations import build_episodes
from conure_training.rl.policy_file import load_policy
from conure_training.rl.train import RunConfig, train_rl
from conure_training.runtime.parallel import run_blocks

from .toy_runs import CONF, TINY_PRIOR, rl_config

CONURE = [sys.executable, "-c", "import sys; from conure_core.cli import main; sys.exit(main())"]


def test_demonstrations_are_successes_within_range_and_repeat_by_seed(
    demos: Path, tmp_path: Path
) -> None:
    data = load_demonstrations(demos)
    assert len(data.ends) == 8
    assert (data.reward[data.ends - 1] == 1).all()
    assert data.reward.sum() == 8
    assert np.abs(data.action).max() <= 1
    config = load_config(
        CONF, "demos", DemosConfig, ["episodes.Lift=3", f"out={tmp_path / 'again'}", "workers=2"]
    )
    config = replace(config, episodes={"Lift": 3})
    again = load_demonstrations(collect(config))
    np.testing.assert_array_equal(again.image[:], data.image[: len(again.image)])
    np.testing.assert_array_equal(again.action, data.action[: len(again.action)])


@pytest.mark.parametrize(
    ("name", "schema"), [("evaluate", EvaluateConfig), ("demos", DemosConfig), ("rl", RunConfig)]
)
def test_containers_that_are_held_out_can_be_asked_for(name: str, schema: type) -> None:
    for containers in ("train", "test"):
        config = load_config(CONF, name, schema, [f"containers={containers}", "image_size=16"])
        with make_environment("PlaceInBox", config) as env:
            env.reset(seed=0)
            assert env.scene.container.model in CONTAINERS[containers]["box"]
    config = load_config(CONF, name, schema, ["containers=tset"])
    with pytest.raises(ConfigError, match="did you mean 'test'"):
        make_environment("PlaceInBox", config)


def test_every_task_s_own_expert_demonstrates_and_states_of_two_sizes_mix(
    tmp_path: Path,
) -> None:
    none = ["episodes.Lift=0", "episodes.PlaceInTray=0", "episodes.PlaceInBox=0", "workers=1"]
    words = [
        *none,
        "+episodes.DrawerOpen=1",
        "+episodes.PressButton=1",
        "+episodes.PlaceInDrawer=1",
        f"out={tmp_path / 'drawer'}",
    ]
    data = load_demonstrations(collect(load_config(CONF, "demos", DemosConfig, words)))
    assert len(data.ends) == 3
    assert (data.reward[data.ends - 1] == 1).all()
    assert len(set(data.state_sizes.tolist())) > 1


def test_a_broken_episode_is_named(demos: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(demos, tmp_path / "broken")
    action = zarr.open_group(tmp_path / "broken", mode="a")["action"]
    data = load_demonstrations(demos)
    action[int(data.ends[2]) + 1] = np.nan
    with pytest.raises(DataError, match="episode 3 is broken"):
        load_demonstrations(tmp_path / "broken")


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def workers_at_work(parent: int) -> int:
    """Children with a thread that watches their parent: they have heard what their work is."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    with contextlib.suppress(FileNotFoundError):
        return sum(len(list(Path(f"/proc/{child}/task").iterdir())) > 1 for child in children)
    return 0


def collecting(out: Path) -> "subprocess.Popen[str]":
    """A collection whose workers are at work."""
    command = [*CONURE, "demos", "episodes.Lift=2000", f"out={out}", "workers=2"]
    process = subprocess.Popen(
        command, cwd=out.parent, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until_s = time.monotonic() + 60.0
    while workers_at_work(process.pid) < 2:
        assert process.poll() is None and time.monotonic() < until_s
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "told to end"),
        (signal.SIGKILL, -9, ""),
    ],
)
def test_a_collection_that_a_signal_ends_leaves_no_data_set_and_no_process(
    tmp_path: Path, number: signal.Signals, status: int, said: str
) -> None:
    process = collecting(tmp_path / "demos")
    os.kill(process.pid, number)
    _, words = process.communicate(timeout=30)
    assert process.returncode == status
    assert said in words and "Traceback" not in words
    assert not (tmp_path / "demos").exists()
    # Multiprocessing's own resource tracker sees its parent gone a moment later.
    deadline_s = time.monotonic() + 5.0
    while group_lives(process.pid) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not group_lives(process.pid)


def test_a_second_collection_into_one_folder_is_refused(tmp_path: Path, capsys) -> None:
    process = collecting(tmp_path / "demos")
    try:
        assert main(["demos", f"out={tmp_path / 'demos'}", "episodes.Lift=1"]) == 1
        assert (
            f"is being written by 'conure demos' (process {process.pid})" in capsys.readouterr().err
        )
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_an_interrupted_collection_goes_on_from_blocks_of_its_own_settings_only(
    tmp_path: Path, monkeypatch
) -> None:
    collected: list[str] = []

    def recorded(work, blocks, *words):
        collected[:] = [block.task for block in blocks]
        return run_blocks(work, blocks, *words)

    def demos(noise: str, name: str = "demos", workers: int = 1) -> Path:
        words = [
            "episodes.Lift=2",
            "episodes.PlaceInTray=1",
            "episodes.PlaceInBox=0",
            f"noise={noise}",
            f"workers={workers}",
        ]
        return collect(
            load_config(
                CONF, "demos", DemosConfig, [*words, "image_size=16", f"out={tmp_path / name}"]
            )
        )

    monkeypatch.setattr("conure_training.data.collect.run_blocks", recorded)
    with monkeypatch.context() as patch:
        patch.setattr("conure_training.data.collect.writing", Mock(side_effect=KeyboardInterrupt))
        for noise in ("[0.1,0.1]", "[0.3,0.3]"):
            with pytest.raises(KeyboardInterrupt):
                demos(noise)
            assert collected == ["Lift", "PlaceInTray"]
    block = tmp_path / "demos.blocks" / "Lift-0-2.npz"
    block.write_bytes(block.read_bytes()[:1000])
    resumed = load_demonstrations(demos("[0.3,0.3]", workers=2))
    assert collected == ["Lift"]
    assert not block.parent.exists()
    np.testing.assert_array_equal(
        resumed.action, load_demonstrations(demos("[0.3,0.3]", "whole")).action
    )


def test_a_prior_is_read_back_and_refuses_another_camera(prior: Path) -> None:
    contract = load_robot("wx250s").contract(48)
    assert load_prior(prior, contract).contract == contract
    with pytest.raises(SpecMismatch, match=r"observation\.image\.shape"):
        load_prior(prior, load_robot("wx250s").contract(64))
    metrics = json.loads((prior.parent / "metrics.json").read_text())
    assert np.isfinite(metrics["held_out_log_likelihood"])


def test_another_arm_has_demonstrations_and_a_prior_of_its_own(demos: Path, tmp_path: Path) -> None:
    words = [
        "arm=panda",
        "episodes.Lift=3",
        "episodes.PlaceInTray=0",
        "episodes.PlaceInBox=0",
        "workers=1",
    ]
    mine = collect(load_config(CONF, "demos", DemosConfig, [*words, f"out={tmp_path / 'demos'}"]))
    assert load_demonstrations(mine).proprio.shape[1] == 17
    words = [f"demos={mine}", f"out={tmp_path / 'prior'}", "tasks=[Lift]", *TINY_PRIOR]
    with pytest.raises(DataError, match="is not of the arm 'wx250s'"):
        train_prior(load_config(CONF, "prior", PriorConfig, words))
    path = train_prior(load_config(CONF, "prior", PriorConfig, [*words, "arm=panda"]))
    found = load_prior(path, load_robot("panda").contract(48))
    assert found.encoder.cell_position[:, 0].median() > 0.4, "the cells lie on this arm's table"


@pytest.mark.parametrize("damage", ["truncate", "text"])
def test_a_damaged_prior_is_refused_in_one_line(prior: Path, tmp_path: Path, damage: str) -> None:
    bad = tmp_path / "prior.pt"
    bad.write_bytes(prior.read_bytes()[:1000] if damage == "truncate" else b"not a prior at all")
    with pytest.raises(DataError, match=r"prior\.pt is damaged"):
        load_prior(bad)


def test_features_put_a_doubtful_object_before_a_certain_one_that_is_further(prior: Path) -> None:
    """Slots are ordered by distance; confidence decides only what is an object at all."""
    from conure_training.prior.encoder import Detections

    encoder = load_prior(prior).encoder
    cells = encoder.cells
    logit = torch.full((1, cells), -9.0)
    near, far = 3 * encoder.grid[1] + 3, 8 * encoder.grid[1] + 8
    logit[0, near], logit[0, far] = 0.2, 6.0
    position = torch.zeros(1, cells, 3)
    position[0, far, 0] = 0.2
    found = Detections(
        logit, position, torch.zeros(1, cells, 3), torch.full((1, cells), -9.0), position
    )
    slots = encoder.slot_features(found, torch.zeros(1, encoder.proprio_size))[0, :30].view(3, 10)
    assert 0.5 < slots[0, 0] < 0.7
    assert slots[1, 0] > 0.99


def test_first_rollouts_of_the_policy_are_the_prior_s(
    demos: Path, prior: Path, tmp_path: Path
) -> None:
    """Before any update a policy's episode equals the prior's, action by action, for the same
    noise.
    """
    import gymnasium

    from conure_training.nn.gaussian_policy import GaussianPolicy

    alone = load_prior(prior)
    policy = GaussianPolicy(alone.encoder.feature_dim, 7, slots=alone.size.slots)
    env = gymnasium.make("conure/Lift-v0", objects="test").unwrapped
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=3)
    for _ in range(10):
        noise = rng.standard_normal(7).astype(np.float32)
        first = LatentPolicy(alone, policy).act(observation, noise)
        np.testing.assert_array_equal(first, LatentPolicy(alone).act(observation, noise))
        observation, *_ = env.step(first)


def test_evaluation_repeats_itself_and_counts_what_it_says(prior: Path, tmp_path: Path) -> None:
    words = [f"agent={prior}", "episodes=3", "workers=1", f"out={tmp_path / 'rates.json'}"]
    config = load_config(CONF, "evaluate", EvaluateConfig, words)
    first, again = evaluate(config), evaluate(config)
    assert first == again == json.loads((tmp_path / "rates.json").read_text())
    assert first["success"]["trials"] == 3
    read = load_evaluation(tmp_path / "rates.json")
    assert [outcome.seed for outcome in read.outcomes] == [1000000, 1000001, 1000002]
    assert sum(outcome.success for outcome in read.outcomes) == first["success"]["successes"]
    assert None not in read.scene.values()


def test_demonstrations_of_another_task_are_refused(
    demos: Path, prior: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no episode of PlaceInBox, only of Lift, PlaceInTray"):
        train_rl(rl_config(demos, prior, tmp_path, "task=PlaceInBox"))


class PowerCut(Exception):
    pass


def cut(episode: dict) -> None:
    if episode["steps"] > 60:
        raise PowerCut


def test_a_run_resumes_where_its_files_were_moved_and_is_logged_otherwise_and_no_other_run_does(
    demos: Path, prior: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.copytree(demos, moved / "demos", copy_function=shutil.copy2)
    shutil.copy(prior, moved / "prior.pt")
    config = rl_config(demos, prior, tmp_path / "rl")
    with pytest.raises(PowerCut):
        train_rl(config, cut)
    before = json.loads((tmp_path / "rl" / "progress.json").read_text())["episodes"]

    with pytest.raises(ConfigError, match=r"checkpoint\.pt belongs to another run: its seed is 0"):
        train_rl(replace(config, seed=1))
    (tmp_path / "another.pt").write_bytes(prior.read_bytes() + b" ")
    with pytest.raises(ConfigError, match=r"another run: its prior is \d+, not \d+;"):
        train_rl(replace(config, prior=str(tmp_path / "another.pt")))
    (moved / "demos" / "more").write_text("")
    elsewhere = replace(config, demos=str(moved / "demos"), prior=str(moved / "prior.pt"))
    with pytest.raises(ConfigError, match=r"another run: its demos is \d+, not \d+;"):
        train_rl(elsewhere)

    (moved / "demos" / "more").unlink()
    train_rl(replace(elsewhere, tensorboard=True, checkpoint_every=7))
    after = json.loads((tmp_path / "rl" / "curve.json").read_text())["episodes"]
    assert after[: len(before)] == before and len(after) > len(before)


def test_a_checkpoint_of_an_earlier_version_is_refused_with_what_to_do(
    demos: Path, prior: Path, tmp_path: Path
) -> None:
    config = rl_config(demos, prior, tmp_path)
    torch.save({"config": str(asdict(config))}, tmp_path / "checkpoint.pt")
    with pytest.raises(ConfigError, match=r"another version of Conure wrote it; .*or remove it"):
        train_rl(config)


def test_an_agent_for_another_image_size_is_refused(prior: Path) -> None:
    with pytest.raises(ConureError, match="image"):
        load_policy(prior, load_robot("wx250s").contract(96))


def test_a_demonstration_is_also_a_failure_to_lift_another_object(demos: Path) -> None:
    data = load_demonstrations(demos, images=False)
    encoded = Encoded(torch.zeros(len(data), 3), torch.zeros(len(data.ends), 3))
    once, twice = (
        build_episodes(data, "Lift", encoded, None),
        build_episodes(data, "Lift", encoded, 0),
    )
    assert len(twice) == 2 * len(once) == 12
    for told, retold in zip(twice[::2], twice[1::2], strict=True):
        assert told.reward.sum() == 1 and retold.reward.sum() == 0 and retold.terminated
        torch.testing.assert_close(told.action, retold.action)
        size = data.proprio.shape[1]
        slots = [
            e.observations["state"][:, size : size + SLOT_STATE * MAX_OBJECTS]
            for e in (told, retold)
        ]
        first, second = (s.unflatten(1, (MAX_OBJECTS, SLOT_STATE)) for s in slots)
        assert not torch.equal(first[:, 0], second[:, 0])
        assert any(torch.equal(first[:, 0], second[:, k]) for k in range(1, MAX_OBJECTS))
        torch.testing.assert_close(first.sum(1), second.sum(1))
