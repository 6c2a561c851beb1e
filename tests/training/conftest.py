"""Toy demonstrations and a toy prior, made once for all tests that need some."""

from dataclasses import replace
from pathlib import Path

import pytest

from conure_core.config.loader import load_config
from conure_sim.tasks import TASKS
from conure_training.data.collect import DemosConfig, collect
from conure_training.prior.train import PriorConfig, train_prior
from conure_training.runtime import cpu_threads

from .toy_runs import CONF, EPISODE_STEPS, TINY_PRIOR


@pytest.fixture(scope="session", autouse=True)
def a_short_look_at_other_processes():
    """Before each training: 0.3 s would be a third of most toys."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_threads, "FIRST_LOOK_S", 0.02)
        yield


@pytest.fixture
def short_episodes(monkeypatch, demos: Path) -> None:
    """Episodes of Lift end after a few steps; the demonstrations, made before, do not."""
    monkeypatch.setitem(TASKS, "Lift", replace(TASKS["Lift"], max_steps=EPISODE_STEPS))


@pytest.fixture(scope="session")
def demos(made_once) -> Path:
    def make(out: Path) -> None:
        episodes = ["episodes.Lift=6", "episodes.PlaceInTray=2", "episodes.PlaceInBox=0"]
        collect(load_config(CONF, "demos", DemosConfig, [*episodes, f"out={out}", "workers=1"]))

    return made_once("demos", make)


@pytest.fixture(scope="session")
def prior(made_once, demos: Path) -> Path:
    def make(out: Path) -> None:
        words = [f"demos={demos}", f"out={out}", *TINY_PRIOR]
        train_prior(load_config(CONF, "prior", PriorConfig, words))

    return made_once("prior", make) / "prior.pt"
