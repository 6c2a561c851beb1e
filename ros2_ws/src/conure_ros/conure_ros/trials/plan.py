"""PLAN.yaml: what is tried, how often and by whom, fixed before the first trial. No ROS."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from conure_core.config.yaml_fields import (
    bounded,
    checked_fields,
    path_beside,
    read_mapping,
    require_bounds,
)
from conure_core.contract.bundle import Bundle, load_bundle
from conure_core.contract.spec import require_match
from conure_core.errors import BundleError, ConfigError, SpecMismatch, unknown_name
from conure_core.robot.description import load_robot
from conure_core.runtime.resume import digest

RULES = ("fixed", "sequential")
FEWEST_POLICIES = 2
LONGEST_TEXT = 200
SEEDS = 2**31


@dataclass(frozen=True)
class Scene:
    """An initial scene, the same for every policy."""

    number: int
    """From 1 on."""

    seed: int
    """A simulator lays the scene of this seed."""

    condition: str
    """What the trials are told apart by, such as the object to act on."""

    text: str
    """How a person lays it; may be empty."""

    def __str__(self) -> str:
        parts = [f"scene {self.number}", self.condition, self.text]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Plan:
    """The content of PLAN.yaml, beside the policies."""

    operator: str
    """Who resets and labels."""

    robot: str
    """Name of an arm, or path of its YAML file."""

    trials: int = bounded(1, 10_000)
    """Trials of each policy, each in a scene of its own."""

    task: str = "Lift"
    """Name of the task."""

    conditions: tuple[str, ...] = ("",)
    """They alternate from scene to scene; the object to act on, where a simulator resets."""

    scenes: tuple[str, ...] = ()
    """How a person lays each scene, in their order; empty: the seeds alone say it."""

    first_seed: int = bounded(0, SEEDS - 1, default=0)
    """Seed of the first scene; the next ones count up."""

    time_limit_s: float = bounded(0.0, 3600.0, above=True, default=60.0)
    """Longest time under the policy, s."""

    rule: str = "fixed"
    """Named in advance: fixed, or sequential, where the report adds the test that may be looked at
    after every pair. All trials are run under either.
    """

    failure_reasons: tuple[str, ...] = ("missed", "dropped", "collided", "out of time", "other")
    """Reasons to choose from; more can be typed in during the trials."""

    blinded: bool = True
    """Whether the operator learns only at the end which policy ran."""

    def __post_init__(self) -> None:
        require_bounds(self)
        if self.rule not in RULES:
            raise unknown_name("rule", self.rule, RULES)
        for name in ("operator", "robot", "task"):
            _require_text(name, getattr(self, name))
        for name in ("conditions", "failure_reasons", "scenes"):
            self._require_distinct(name)
        if not self.conditions or not self.failure_reasons:
            name = "failure_reasons" if self.conditions else "conditions"
            raise ConfigError(f"{name} must name at least one, got none; leave the field out")
        self._require_balance()

    def _require_distinct(self, name: str) -> None:
        values = getattr(self, name)
        for value in values:
            if (name, value) != ("conditions", ""):
                _require_text(name, value)
            if values.count(value) > 1:
                raise ConfigError(f"{name} holds '{value}' twice; give each once")

    def _require_balance(self) -> None:
        count = len(self.conditions)
        if self.trials % count:
            raise ConfigError(
                f"trials must be a multiple of the {count} conditions, got {self.trials}; give"
                f" {self.trials - self.trials % count or count}"
                f" or {self.trials + count - self.trials % count}"
            )
        if self.scenes and len(self.scenes) != self.trials:
            raise ConfigError(
                f"scenes must hold one text for each of the {self.trials} trials, got"
                f" {len(self.scenes)}; add or remove some, or change trials"
            )
        if self.first_seed + self.trials > SEEDS:
            raise ConfigError(
                f"first_seed must be at most {SEEDS - self.trials} for {self.trials} trials, got"
                f" {self.first_seed}"
            )

    def scene(self, number: int) -> Scene:
        """The scene of this number, from 1 to `trials`."""
        index = number - 1
        condition = self.conditions[index % len(self.conditions)]
        text = self.scenes[index] if self.scenes else ""
        return Scene(number, self.first_seed + index, condition, text)


@dataclass(frozen=True)
class LoadedPlan:
    """A plan with its policies, and the hash of both."""

    path: Path
    plan: Plan
    bundles: Mapping[str, Path]
    """Folder of each policy's bundle, by the policy's name."""

    hashes: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each bundle."""

    image_size_px: int = 0
    """Side of the images that all policies see, px."""

    @property
    def content(self) -> dict[str, Any]:
        """What decides the trials, as plain values."""
        return {"plan": asdict(self.plan), "bundles": dict(sorted(self.hashes.items()))}

    @property
    def hash(self) -> str:
        """SHA-256 of the content, hexadecimal. Where files lie is no part of it."""
        return digest(self.content)


def load_plan(path: Path) -> LoadedPlan:
    """Read a plan, and check every bundle whole against the plan's arm.

    Args:
        path: PLAN.yaml; relative paths in it begin at its folder.

    Returns:
        The plan with the bundles' hashes.

    Raises:
        ConfigError: The file cannot be used; names file and field.
        BundleError: A bundle is damaged; names the policy.
        SpecMismatch: A bundle is for another arm, or sees images of another size.
    """
    data = read_mapping(path)
    policies = _policies(path, data.pop("policies", None))
    plan = checked_fields(data, Plan, str(path), path.parent)
    loaded = {name: _bundle(path, name, folder, plan) for name, folder in policies.items()}
    return LoadedPlan(
        path,
        plan,
        policies,
        _distinct_hashes(path, loaded),
        _common_image_size(path, loaded),
    )


def _policies(path: Path, given: Any) -> dict[str, Path]:
    if not isinstance(given, dict) or len(given) < FEWEST_POLICIES:
        raise ConfigError(
            f"{path}: policies must hold at least {FEWEST_POLICIES} lines 'name: folder of a"
            f" bundle', got {given!r}"[:500]
        )
    found = {}
    for name, folder in given.items():
        _require_text(f"{path}: policies: a name", name)
        _require_text(f"{path}: policies: {name}", folder)
        found[name] = path_beside(path.parent, folder, f"{path}: policies: {name}")
    return found


def _bundle(path: Path, name: str, folder: Path, plan: Plan) -> Bundle:
    try:
        bundle = load_bundle(folder)
        expected = load_robot(plan.robot).contract(_image_size_px(bundle))
        require_match(expected, bundle.spec.contract, f"the bundle {folder}")
    except (BundleError, SpecMismatch) as error:
        raise type(error)(f"{path}: policies: {name}: {error}") from error
    return bundle


def _image_size_px(bundle: Bundle) -> int:
    return int(max(bundle.spec.contract.observation.image.shape, default=1))


def _distinct_hashes(path: Path, bundles: Mapping[str, Bundle]) -> dict[str, str]:
    """Raises: ConfigError if two policies are the same bundle."""
    first: dict[str, str] = {}
    for name, bundle in bundles.items():
        other = first.setdefault(bundle.hash, name)
        if other != name:
            raise ConfigError(
                f"{path}: policies: {other} and {name} are the same bundle ({bundle.hash[:8]});"
                " give each policy once"
            )
    return {name: bundle.hash for name, bundle in bundles.items()}


def _common_image_size(path: Path, bundles: Mapping[str, Bundle]) -> int:
    """Raises: SpecMismatch if they differ: one graph serves them all."""
    sizes = {name: _image_size_px(bundle) for name, bundle in bundles.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise SpecMismatch(
            f"{path}: policies must see images of one size, got {listed} px; compare those of one"
            " size"
        )
    return next(iter(sizes.values()))


def _require_text(name: str, value: Any) -> None:
    fits = isinstance(value, str) and value.strip() and value.isprintable()
    if not fits or len(value) > LONGEST_TEXT:
        raise ConfigError(
            f"{name} must be a text of 1 to {LONGEST_TEXT} printable characters, got"
            f" {str(value)[:LONGEST_TEXT]!r}"
        )
