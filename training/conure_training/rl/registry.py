"""The methods of `conure rl`, one line each, and the kinds of policy files.

Strings alone, so that a method's module is imported when the method is chosen.
"""

from importlib import import_module
from typing import Any

from conure_core.errors import unknown_name

METHODS = {
    "latent": "latent:LatentConfig",
    "latent_escape": "latent_escape:LatentEscapeConfig",
    "latent_finetuned": "latent_finetuned:LatentFinetunedConfig",
    "latent_inverted": "latent_inverted:LatentInvertedConfig",
    "scratch": "scratch:ScratchConfig",
    "bc": "bc:BcConfig",
    "bc_sac": "bc_sac:BcSacConfig",
    "vae": "vae:VaeConfig",
    "prior_explore": "prior_explore:PriorExploreConfig",
    "rlpd": "rlpd:RlpdConfig",
    "ibrl": "ibrl:IbrlConfig",
    "trajectory": "skills:TrajectoryConfig",
    "hierarchical": "skills:HierarchicalConfig",
    "steered": "steered:SteeredConfig",
    "td3_bc": "offline.td3_bc:Td3BcConfig",
    "bcq": "offline.bcq:BcqConfig",
    "iql": "offline.iql:IqlConfig",
    "ppo": "on_policy.method:PpoMethodConfig",
    "trpo": "on_policy.method:TrpoMethodConfig",
    "distill": "distill.method:DistillConfig",
    "demo_resets": "demo_resets.method:DemoResetsConfig",
    "visuomotor": "visuomotor.method:VisuomotorConfig",
    "gail": "adversarial.method:GailConfig",
    "state_bc": "adversarial.method:StateBcConfig",
    "dqfd": "dqfd.method:DqfdConfig",
}
"""By name: "module:Config" in rl/methods, or "package.module:Config" in rl. Beside the
configuration stands what makes the method, `build(run, config, env) -> Method`, and, unless its
policies are of another kind, `load_policy(data)`. A method with a loop of its own has `open_loop`,
one with environments of its own `make_environment(run)`.
"""

POLICY_KINDS = {
    "features": "learners.feature_sac",
    "skills": "methods.skills",
    "escaping": "methods.latent_escape",
    "finetuned": "methods.latent_finetuned",
    "privileged": "on_policy.policy",
    "visuomotor": "visuomotor.policy",
}
"""Kinds of policy files that have not the name of their method: the module in rl whose
`load_policy` reads them.
"""


def config_class(name: str) -> type[Any]:
    """The dataclass of a method's settings. Raises: ConfigError with the valid names."""
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    _, _, config = METHODS[name].partition(":")
    config_type: type[Any] = getattr(_method_module(name), config)
    return config_type


def builder(name: str) -> Any:
    """What makes a method: (run, config, env) -> Method."""
    return _method_module(name).build


def loop_maker(name: str) -> Any:
    """What makes the loop of a method that has one of its own: (run) -> context of a loop with
    `run`, `record` and `save`. None where the loop with a replay runs it.
    """
    return getattr(_method_module(name), "open_loop", None)


def environment_maker(name: str) -> Any:
    """What makes the environment of a method that has one of its own, such as a game: (run) ->
    environment. None where it is the table's.
    """
    return getattr(_method_module(name), "make_environment", None)


def policy_loader(kind: str) -> Any:
    """What makes a policy of the values in a file of this kind. Raises: KeyError if there is
    none.
    """
    if kind in POLICY_KINDS:
        return import_module(f"conure_training.rl.{POLICY_KINDS[kind]}").load_policy
    if kind not in METHODS:
        raise KeyError(kind)
    return _method_module(kind).load_policy


def _method_module(name: str) -> Any:
    module, _, _ = METHODS[name].partition(":")
    inside = module if "." in module else f"methods.{module}"
    return import_module(f"conure_training.rl.{inside}")
