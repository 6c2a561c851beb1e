"""spec.json of a bundle: the contract, where the policy comes from, what it holds and needs."""

import hashlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conure_core.config.yaml_fields import checked_fields
from conure_core.contract.bundle_files import AGAIN, GOLDEN, INVERSE, POLICY, SPEC, parse_json
from conure_core.contract.spec import Contract
from conure_core.errors import BundleError, ConfigError
from conure_core.runtime.json_text import json_text

FORMAT_VERSION = 1
FORMAT_WITH_MEMORY = 2
"""Of bundles with a memory, or without a prior."""
LARGEST_MEMORY = 65_536
LARGEST_THRESHOLD_NATS = 1e6


@dataclass(frozen=True)
class FileDigest:
    """Size and SHA-256 of one file of a bundle."""

    size_bytes: int
    sha256: str

    @staticmethod
    def of(content: bytes) -> "FileDigest":
        """Compute the digest of a file's content."""
        return FileDigest(len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class BundleSpec:
    """The content of spec.json.

    `log_likelihood_thresholds` (nats, by name) is empty until calibrated on held-out data.
    `memory_size`: values that the policy remembers from tick to tick; 0: none. `has_prior`: whether
    its outputs hold z and a log-likelihood, and it can be inverted.

    Raises:
        BundleError: A threshold is not a finite number, or quantiles (p01, p05, ...) do not rise;
            the size of the memory is no number from 0 to LARGEST_MEMORY.
    """

    contract: Contract
    name: str
    git_commit: str
    exported_at: str
    training: Mapping[str, Any]
    log_likelihood_thresholds: Mapping[str, float]
    files: Mapping[str, FileDigest]
    memory_size: int = 0
    has_prior: bool = True

    def __post_init__(self) -> None:
        require_thresholds(self.log_likelihood_thresholds)
        size = self.memory_size
        if type(size) is not int or not 0 <= size <= LARGEST_MEMORY:
            raise BundleError(
                f"{SPEC}: memory_size must lie in 0 to {LARGEST_MEMORY}, got {str(size)[:100]};"
                " export the bundle again"
            )
        if type(self.has_prior) is not bool:
            raise BundleError(
                f"{SPEC}: has_prior must be true or false, got {str(self.has_prior)[:100]}; export"
                " the bundle again"
            )

    @property
    def file_names(self) -> tuple[str, ...]:
        """The files beside spec.json."""
        return (POLICY, INVERSE, GOLDEN) if self.has_prior else (POLICY, GOLDEN)

    @property
    def format_version(self) -> int:
        """The oldest version that can say what is in this one."""
        plain = self.has_prior and not self.memory_size
        return FORMAT_VERSION if plain else FORMAT_WITH_MEMORY

    def to_json(self) -> str:
        """The text of spec.json, full precision, with a checksum over everything else in it."""
        data: dict[str, Any] = {
            "format_version": self.format_version,
            "name": self.name,
            "git_commit": self.git_commit,
            "exported_at": self.exported_at,
            "contract": self.contract.to_dict(),
            "training": dict(self.training),
            "log_likelihood_thresholds": dict(self.log_likelihood_thresholds),
            "files": {name: vars(digest) for name, digest in self.files.items()},
        }
        if self.format_version == FORMAT_WITH_MEMORY:
            data |= {"memory_size": self.memory_size, "has_prior": self.has_prior}
        try:
            checked = {**data, "checksum": _checksum(data)}
            return json_text(checked, strict=True, indent=2) + "\n"
        except ValueError as error:
            raise BundleError(f"{SPEC} cannot be written ({error}); pass finite numbers") from error

    @staticmethod
    def from_json(text: str | bytes) -> "BundleSpec":
        """Read the text of spec.json; inverse of `to_json`.

        Raises:
            BundleError: The text is not a whole, unaltered spec of this format version.
            SpecMismatch: The contract in it cannot be read.
        """
        try:
            data = parse_json(text, SPEC)
            version = data.pop("format_version")
        except (TypeError, KeyError, AttributeError) as error:
            raise BundleError(f"{SPEC} cannot be read ({error}); {AGAIN}") from error
        if version not in (FORMAT_VERSION, FORMAT_WITH_MEMORY):
            raise BundleError(
                f"{SPEC}: format_version is {version}, and this Conure reads {FORMAT_VERSION} and"
                f" {FORMAT_WITH_MEMORY}; export again with this version, or install the one that"
                " wrote it"
            )
        checksum = data.pop("checksum", None)
        if checksum != _checksum({"format_version": version, **data}):
            raise BundleError(f"{SPEC} was altered since it was written (checksum); {AGAIN}")
        try:
            keys = ("contract", "training", "log_likelihood_thresholds", "files")
            mappings = {key: data.pop(key) for key in keys}
            for key, value in mappings.items():
                if not isinstance(value, dict):
                    raise BundleError(
                        f"{SPEC}: {key} must hold names and values; export the bundle again"
                    )
            more = {}
            if version == FORMAT_WITH_MEMORY:
                more = {key: data.pop(key) for key in ("memory_size", "has_prior")}
            digests = mappings["files"].items()
            files = {name: _digest(digest, name) for name, digest in digests}
            return BundleSpec(
                contract=Contract.from_dict(mappings["contract"]),
                training=MappingProxyType(mappings["training"]),
                log_likelihood_thresholds=MappingProxyType(mappings["log_likelihood_thresholds"]),
                files=MappingProxyType(files),
                **more,
                **_texts(data),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"{SPEC} lacks or adds a field ({error}); export the bundle again"
            ) from error


def require_thresholds(thresholds: Mapping[str, Any]) -> None:
    """Refuse thresholds of log-likelihoods, nats by name, that say nothing.

    With one that is no number the monitor would pass everything, silently.

    Raises:
        BundleError: One is not a finite number, or two quantiles are in the wrong order; names it.
    """
    for name, value in thresholds.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not name or not number or not abs(value) <= LARGEST_THRESHOLD_NATS:
            raise BundleError(
                f"{SPEC}: log_likelihood_thresholds.{name[:100]} must be a finite number of nats,"
                f" within +-{LARGEST_THRESHOLD_NATS:g}, got {str(value)[:100]}; train the prior"
                " again, or export without metrics"
            )
    quantiles = [name for name in thresholds if re.fullmatch(r"p[0-9]{1,3}", name)]
    quantiles.sort(key=lambda name: (int(name[1:]), name))
    for lower, upper in itertools.pairwise(quantiles):
        if thresholds[lower] > thresholds[upper]:
            raise BundleError(
                f"{SPEC}: log_likelihood_thresholds.{lower} ({thresholds[lower]:g} nats) must not"
                f" be above {upper} ({thresholds[upper]:g} nats): they are quantiles; export the"
                " bundle again"
            )


def _digest(data: Any, name: str) -> FileDigest:
    try:
        return checked_fields(data, FileDigest, f"{SPEC}: files.{name}", Path())
    except ConfigError as error:
        raise BundleError(f"{error}; export the bundle again") from error


def _texts(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are left, all texts."""
    for key, value in data.items():
        if not isinstance(value, str):
            raise BundleError(
                f"{SPEC}: {key[:100]} must be a text, got {type(value).__name__}; export the bundle"
                " again"
            )
    return dict(data)


def _checksum(data: Mapping[str, Any]) -> str:
    try:
        text = json_text(data, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
    except (ValueError, RecursionError) as error:  # a text that is half a surrogate pair; depth
        raise BundleError(f"{SPEC} cannot be read ({error}); {AGAIN}") from error
