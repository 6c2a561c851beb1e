"""Where a result comes from: the commit of the sources and the machine."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def git_commit() -> str:
    """Find the commit of this source tree, with '-dirty' if files differ from it; 'unknown' outside
    a repository.
    """
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        result = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return result.stdout.strip()


def machine() -> dict[str, Any]:
    """Cores that this process may use, the CPU's name, memory in GB, the system, and how busy it is
    now.
    """
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu_name(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def cpu_name() -> str:
    """The processor's model, as it calls itself: "AMD EPYC", "Intel(R) Xeon(R) Processor"."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            _, _, name = line.partition(":")
            return name.strip()
    return platform.processor() or platform.machine()
