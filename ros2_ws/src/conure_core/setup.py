from setuptools import find_packages, setup

PACKAGE = "conure_core"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={"": ["**/*.json", "**/*.obj", "**/*.urdf", "**/*.yaml", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="The Conure developers",
    maintainer_email="maintainers@conure.dev",
    description="What simulation, training and robot of Conure must agree on",
    license="Apache-2.0",
    entry_points={"console_scripts": ["conure = conure_core.cli:main"]},
)
