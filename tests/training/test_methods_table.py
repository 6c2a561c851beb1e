"""The table in docs/train.md names every method, and says what it needs and what its policy sees."""

import pytest

from conure_training.rl.registry import METHODS, config_class

from .methods_table import methods_table


def test_every_method_has_a_row_and_no_other():
    assert set(methods_table()) == set(METHODS)
    assert all(all(cells.values()) for cells in methods_table().values())


@pytest.mark.parametrize("name", METHODS)
def test_a_row_says_what_the_method_reads_and_whether_its_policy_runs_without_images(name):
    config = config_class(name)()
    row = methods_table()[name]
    assert ("prior" in row["needs"]) == ("prior" in config.reads)
    assert ("privileged state" in row["policy acts on"]) == (not config.uses_images)
    assert not row["exported"].startswith("yes") or config.uses_images
