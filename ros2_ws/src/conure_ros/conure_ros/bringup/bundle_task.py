"""What the policy of a bundle was trained for: the task and the objects where none are given. No
ROS.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conure_core.contract.bundle_files import SPEC, read_file
from conure_core.contract.bundle_spec import BundleSpec
from conure_core.errors import ConureError
from conure_core.runtime.atomic_files import last_whole

TASK_DEFAULTS = {"task": "Lift", "target": "", "objects": "test"}
"""Arguments that a bundle brings, with their values without a bundle."""


def trained_for(bundle: str) -> dict[str, str]:
    """Task, target and objects of a bundle's policy; those of TASK_DEFAULTS where the bundle does
    not say, as that of a prior. A bundle that cannot be read is refused by the nodes.
    """
    return {**TASK_DEFAULTS, **_noted(bundle)}


def differences(given: Mapping[str, Any]) -> list[str]:
    """Say where arguments differ from what the bundle's policy was trained for.

    Args:
        given: Arguments by name.

    Returns:
        One sentence an argument, for the log.
    """
    trained = _noted(str(given.get("bundle", "")))
    sentences = []
    for name, own in trained.items():
        wanted = str(given.get(name, ""))
        if wanted and own and wanted != own:
            sentences.append(
                f"{name}={wanted}: the policy of {given['bundle']} was trained for {name}={own};"
                f" leave {name} out for that one"
            )
    return sentences


def _noted(bundle: str) -> dict[str, str]:
    if not bundle:
        return {}
    folder = last_whole(Path(bundle).expanduser())
    try:
        training = BundleSpec.from_json(read_file(folder, SPEC)).training
    except (ConureError, OSError):
        return {}
    noted = {name: training.get(name) for name in TASK_DEFAULTS}
    return {name: value for name, value in noted.items() if isinstance(value, str) and value}
