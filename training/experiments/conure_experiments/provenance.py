"""What a record says of where it was made: sources, machine, versions, device."""

import subprocess
from pathlib import Path
from typing import Any

import torch

from conure_core.runtime.provenance import git_commit, machine
from conure_training.demo.summary import versions


def provenance(results: Path) -> dict[str, Any]:
    """`commit`, `machine`, `versions` and `device`, for a record."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "commit": _code_commit(results),
        "machine": machine(),
        "versions": versions(),
        "device": device,
    }


def _code_commit(results: Path) -> str:
    """The commit of the sources; '-dirty' if any differ from it beside the results themselves."""
    commit = git_commit()
    if not commit.endswith("-dirty"):
        return commit
    clean = commit.removesuffix("-dirty")
    folder = Path(__file__).parent
    root = _git(folder, "rev-parse", "--show-toplevel")
    changed = _git(folder, "diff", "--name-only", "HEAD").splitlines()
    inside = [
        name for name in changed if (Path(root) / name).resolve().is_relative_to(results.resolve())
    ]
    return clean if len(inside) == len(changed) else commit


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()
