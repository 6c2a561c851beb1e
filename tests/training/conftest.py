"""Toy demonstrations and a toy prior, made once for all tests that need some."""

from pathlib import Path

import pytest

from conure_core.config.loader import load_config
from conure_training.data.collect import DemosConfig, collect
from conure_training.prior.train import PriorConfig, train_prior

from .toy_runs import CONF, TINY_PRIOR


@pytest.fixture(scope="session")
def demos(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "demos"
    words = [
        "episodes.Lift=6",
        "episodes.PlaceInTray=2",
        "episodes.PlaceInBox=0",
        f"out={out}",
        "workers=1",
    ]
    return collect(load_config(CONF, "demos", DemosConfig, words))


@pytest.fixture(scope="session")
def prior(demos: Path) -> Path:
    words = [f"demos={demos}", f"out={demos.parent / 'prior'}", *TINY_PRIOR]
    return train_prior(load_config(CONF, "prior", PriorConfig, words))
