"""The methods of `conure rl` and the kinds of policy files: strings alone, so that a module is
imported when chosen.
"""

from importlib import import_module
from typing import Any

from conure_core.errors import unknown_name

METHODS = {
    "latent": ("latent:build", "latent"),
    "scratch": ("scratch:build", "scratch"),
    "bc": ("cloned:build_clone", "features", "cloning"),
    "bc_sac": ("cloned:build_clone_then_sac", "features", "cloning"),
    "vae": ("vae:build", "features", "vae"),
    "prior_explore": ("feature_sac:build_prior_explore", "features"),
    "rlpd": ("feature_sac:build_rlpd", "rlpd"),
    "ibrl": ("ibrl:build", "features", "cloning"),
    "trajectory": ("skills:build_trajectory", "latent", "trajectory"),
    "hierarchical": ("skills:build_hierarchical", "latent", "hierarchical"),
    "steered": ("steered:build", "latent", "steered"),
}
"""By name: "module:function" in rl/methods, and the sections of RlConfig that the function takes.

The function is called with (config, environment, *sections) and returns a Method.
"""

POLICY_KINDS = {
    "latent": "latent:load_policy",
    "scratch": "scratch:load_policy",
    "vae": "vae:load_policy",
    "features": "feature_sac:load_policy",
    "ibrl": "ibrl:load_policy",
    "escaping": "latent_escape:load_policy",
    "steered": "steered:load_policy",
    "skills": "skills:load_policy",
    "finetuned": "latent_finetuned:load_policy",
}
"""By the "kind" in a policy's file: "module:function" in rl/methods, which makes the policy of the
file's values.
"""


def check_method(name: str) -> None:
    """Raises: ConfigError with the valid names for an unknown method."""
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)


def imported_function(target: str) -> Any:
    """The function that "module:function" names in rl/methods."""
    module, function = target.split(":")
    return getattr(import_module(f"conure_training.rl.methods.{module}"), function)
