"""The methods of `conure rl`, by name. Each is a function (config, environment) -> Method; a file holds one family.

All of them run in one loop (`rl_loop`), on one replay buffer and under one evaluation.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from conure_core.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from conure_training.rl.config import RlConfig
    from conure_training.rl.loop import Method

METHODS = {
    "latent": "latent:build",
    "scratch": "scratch:build",
    "bc": "cloned:build_clone",
    "bc_sac": "cloned:build_clone_then_sac",
    "vae": "vae:build",
    "prior_explore": "action_space:build_prior_explore",
    "rlpd": "action_space:build_rlpd",
    "ibrl": "cloned:build_ibrl",
    "trajectory": "skills:build_trajectory",
    "hierarchical": "skills:build_hierarchical",
    "steered": "steered:build",
}
"""Module of this folder and function in it, imported when the method is chosen."""


def find_method(name: str) -> "Callable[[RlConfig, Any], Method]":
    """The builder of this method. Raises: ConfigError with the valid names for an unknown one."""
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    module, function = METHODS[name].split(":")
    builder: Callable[[RlConfig, Any], Method] = getattr(import_module(f"{__name__}.{module}"), function)
    return builder
