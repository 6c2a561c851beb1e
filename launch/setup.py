from pathlib import Path

from setuptools import setup

PACKAGE = "conure_bringup"


def files(pattern: str) -> list[str]:
    return sorted(map(str, Path().glob(pattern)))


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=[],
    py_modules=[],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", files("*.launch.py")),
        (f"share/{PACKAGE}/config", files("config/*")),
        (f"share/{PACKAGE}/layouts", files("layouts/*")),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="The Conure developers",
    maintainer_email="maintainers@conure.dev",
    description="Launch files and configurations of Conure",
    license="Apache-2.0",
)
