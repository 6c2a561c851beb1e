"""`python ament_packages.py FOLDER ...`: install what `ros2 pkg`, `ros2 run` and `ros2 launch` look
for into the environment of this Python.

Reads each package's own setup.py, as colcon does: its data files as links to the sources (as
`--symlink-install` makes them), its console scripts in `lib/PACKAGE`. The Python code itself is
installed by pip. A second run removes what the first one installed.
"""

import importlib.util
import os
import sys
from distutils.core import run_setup
from pathlib import Path

MANIFEST = Path("setup", "ament_packages.txt")
SCRIPT = """\
#!/bin/sh
"exec" "{python}" "$0" "$@"
import sys

from {module} import {function}

sys.exit({function}())
"""
"""Read by the shell, which starts this Python, and then by Python: a path of any length, with
spaces, works.
"""


def install(prefix, folders):
    """Install packages, in place of those of the last run.

    Args:
        prefix: Folder of the environment.
        folders: Folders of the packages, each with a setup.py.

    Returns:
        The installed paths.
    """
    manifest = prefix / MANIFEST
    remove_installed(manifest)
    installed = []
    for folder in folders:
        package = read_setup(folder)
        installed += link_data_files(package, folder, prefix)
        installed += write_scripts(package, prefix / "lib" / package.get_name())
    if importlib.util.find_spec("ros2cli") and not (prefix / "bin" / "ros2").exists():
        installed.append(write_script(prefix / "bin" / "ros2", "ros2cli.cli", "main"))
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text("\n".join(map(str, installed)))
    return installed


def remove_installed(manifest):
    """Remove what an earlier run installed: a deleted node must not live on."""
    if manifest.is_file():
        for line in manifest.read_text().splitlines():
            Path(line).unlink(missing_ok=True)


def read_setup(folder):
    """The distribution that a setup.py describes, without building anything."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return run_setup("setup.py", stop_after="init")
    finally:
        os.chdir(before)


def link_data_files(package, folder, prefix):
    """Link the data files of a package.

    Args:
        package: From `read_setup`.
        folder: The package's folder.
        prefix: Where the paths of its `data_files` begin.

    Returns:
        The links.
    """
    links = []
    for target, files in package.data_files:
        (prefix / target).mkdir(parents=True, exist_ok=True)
        for name in files:
            link = prefix / target / Path(name).name
            link.unlink(missing_ok=True)
            link.symlink_to((folder / name).resolve())
            links.append(link)
    return links


def write_scripts(package, folder):
    """Write the console scripts of a package.

    Args:
        package: From `read_setup`.
        folder: Where `ros2 run` looks for them.

    Returns:
        Their paths.
    """
    scripts = []
    for line in (package.entry_points or {}).get("console_scripts", []):
        name, _, entry = (part.strip() for part in line.partition("="))
        scripts.append(write_script(folder / name, *entry.split(":")))
    return scripts


def write_script(path, module, function):
    """Write a program that calls a function. Returns its path.

    Args:
        path: The program.
        module: Module of the function.
        function: Its name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(SCRIPT.format(python=sys.executable, module=module, function=function))
    path.chmod(0o755)
    return path


if __name__ == "__main__":
    install(Path(sys.prefix), [Path(word).resolve() for word in sys.argv[1:]])
