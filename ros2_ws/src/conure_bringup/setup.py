from pathlib import Path

from setuptools import setup

PACKAGE = "conure_bringup"
LAUNCH = Path(
    "../../../launch"
)  # once in the repository, for `ros2 launch`, the launcher and the tests


def installed(pattern: str, folder: str) -> list[tuple[str, list[str]]]:
    """What of launch/ goes to which folder of the package's share, with its subfolders."""
    files: dict[str, list[str]] = {}
    for path in sorted((LAUNCH / folder).glob(pattern)):
        if path.is_file():
            target = Path(
                "share", PACKAGE, folder or "launch", path.parent.relative_to(LAUNCH / folder)
            )
            files.setdefault(target.as_posix(), []).append(path.as_posix())
    return list(files.items())


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=[],
    py_modules=[],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *installed("*.launch.py", ""),
        *installed("**/*", "config"),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="The Conure developers",
    maintainer_email="maintainers@conure.dev",
    description="Launch files and configurations of Conure",
    license="Apache-2.0",
)
