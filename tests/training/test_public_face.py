"""What `conure_training` offers by name is there, and costs nothing until it is used."""

import subprocess
import sys

import pytest

import conure_training


@pytest.mark.parametrize("name", conure_training.__all__)
def test_every_name_is_a_documented_function(name):
    assert name in dir(conure_training)
    assert getattr(conure_training, name).__name__ == name
    assert getattr(conure_training, name).__doc__


def test_an_unknown_name_is_refused_and_a_package_of_it_is_still_found():
    with pytest.raises(ImportError, match="load_polcy"):
        from conure_training import load_polcy  # noqa: F401
    from conure_training import runtime

    assert runtime.__name__ == "conure_training.runtime"


def test_torch_is_not_imported_with_the_package():
    code = (
        "import sys, conure_training; assert 'torch' not in sys.modules;"
        " print(dir(conure_training))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "load_policy" in run.stdout
