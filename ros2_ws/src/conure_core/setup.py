from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "conure_core"
ROBOTS = Path(PACKAGE, "robots")


def robot_files() -> list[tuple[str, list[str]]]:
    """Robots and their meshes, for the share folder: `package://conure_core/robots/...`."""
    files: dict[str, list[str]] = {}
    for path in sorted(ROBOTS.rglob("*")):
        if path.is_file():
            target = Path("share", PACKAGE, path.parent.relative_to(PACKAGE))
            files.setdefault(target.as_posix(), []).append(path.as_posix())
    return list(files.items())


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={"": ["**/*.json", "**/*.obj", "**/*.urdf", "**/*.yaml", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *robot_files(),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="The Conure developers",
    maintainer_email="maintainers@conure.dev",
    description="What simulation, training and robot of Conure must agree on",
    license="Apache-2.0",
    entry_points={"console_scripts": ["conure = conure_core.cli:main"]},
)
