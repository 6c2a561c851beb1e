"""`conure bench training` at toy size: every row measured, the peers sound."""

import json

import pytest
import torch

from conure_core.cli import main
from conure_core.errors import ConfigError
from conure_training.benchmarks.baselines import AuthorsPrior
from conure_training.benchmarks.command import run
from conure_training.benchmarks.measurements import FlowSize, authors_step, log_prob_error
from conure_training.benchmarks.timing import alternate

torch.set_num_threads(1)
TOY = [
    "hidden=[16,16]", "context_dim=8", "feature_dim=8", "batch_size=16", "repeats=3", "runtime_calls=20",
    "authors_batch_size=4", "prior_repeats=1", "scenes=100", "demonstration_steps=100", "replay_rows=200",
]  # fmt: skip


def test_every_row_is_measured_and_written(tmp_path, capsys) -> None:
    out = tmp_path / "training.json"
    assert main(["bench", "training", f"out={out}", *TOY]) == 0
    report = json.loads(out.read_text())
    assert report["config"]["runtime_calls"] == 20
    assert report["machine"]["cores"] >= 1
    rows = {row["name"]: row for row in report["rows"]}
    parts = (
        "log_prob, batch 1,",
        "decode, batch 16",
        "float64",
        "float32",
        "p99",
        "prior training",
        "latent SAC",
    )
    for part in parts:
        assert any(part in name for name in rows), part
    assert all(row["value"] >= 0 for row in rows.values())
    assert next(row["met"] for name, row in rows.items() if "float64" in name)
    shares = [row["value"] for name, row in rows.items() if "data loading" in name]
    assert len(shares) == 2
    assert 0 < min(shares) <= max(shares) < 100
    assert "asked for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rows=[flw]"], "did you mean 'flow'"),
        (["repeats=0"], "at least 1"),
        (["action_dim=1"], "action_dim 2"),
        (["hidden=[16,32]"], "one width"),
        (["arm=wx251s"], "wx250s"),
        (["repeat=3"], "did you mean 'repeats'"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(words, expected) -> None:
    with pytest.raises(ConfigError, match=expected):
        run(words)


def test_the_two_that_take_turns_are_told_apart() -> None:
    calls: list[str] = []
    first, second = alternate(
        lambda: calls.append("a"), lambda: sum(range(200_000)), repeats=5, calls=2
    )
    assert first < second
    assert len(calls) == 2 * (3 + 5)


def test_another_flow_is_seen_in_the_difference_of_log_probability(monkeypatch) -> None:
    size = FlowSize(7, 8, 4, (16, 16))
    assert log_prob_error(size, torch.float64, 32) < 1e-10
    monkeypatch.setattr("conure_training.prior.flow.ACTION_RANGE", 1.06)
    assert log_prob_error(size, torch.float64, 32) > 1e-3


def test_the_authors_prior_learns_and_runs_its_cnn_in_every_coupling() -> None:
    torch.manual_seed(0)
    prior, runs = AuthorsPrior(16), []
    prior.encoder.register_forward_hook(lambda *_: runs.append(1))
    image, action = (
        torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8),
        torch.full((4, 8), 0.5),
    )
    optimizer, losses = torch.optim.Adam(prior.parameters(), 1e-3), []
    for _ in range(10):
        loss = -prior.log_prob(image, action).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert len(runs) == 4 * 10
    assert losses[-1] < losses[0] - 1.0
    authors_step(16, 2)()
