"""Settings under which a prior is trained and `conure rl` runs in seconds."""

from pathlib import Path

from conure_core.config.loader import load_config
from conure_training.rl.train import RunConfig

CONF = "conure_training.conf"
TINY_PRIOR = [
    "static_scenes=200",
    "encoder_steps=4",
    "joint_steps=2",
    "flow_steps=4",
    "batch_size=16",
    "workers=1",
]
EPISODE_STEPS = 12
"""Of what `short_episodes` leaves of an episode that fails."""
TINY_RL = ["steps=120", "checkpoint_every=50"]
TINY_PRETRAINING = ("steps=3", "batch_size=16")
TINY_LATENT = ("updates_per_step=0.3", "batch_size=16", "critic_pretraining_updates=3")
TINY_FEATURES = (*TINY_LATENT, "hidden_width=32")
TINY_OFFLINE = ("gradient_steps=6", "batch_size=16", "hidden_width=32")
TINY_METHODS = {
    "latent": TINY_LATENT,
    "latent_escape": TINY_LATENT,
    "latent_finetuned": (*TINY_LATENT[1:], "updates_per_step=0.1"),
    "latent_inverted": TINY_LATENT,
    "scratch": ("batch_size=8", "updates_per_step=0.1"),
    "bc": ("hidden_width=32",),
    "bc_sac": TINY_FEATURES,
    "vae": TINY_FEATURES,
    "prior_explore": TINY_FEATURES,
    "rlpd": TINY_FEATURES,
    "ibrl": TINY_FEATURES,
    "trajectory": TINY_LATENT,
    "hierarchical": TINY_LATENT,
    "steered": TINY_LATENT,
    "td3_bc": TINY_OFFLINE,
    "bcq": (*TINY_OFFLINE, "vae_width=16", "candidates=5"),
    "iql": TINY_OFFLINE,
    "distill": ("iteration_steps=12", "batch_size=16", "hidden_width=32", "decay=0.5"),
}
PRETRAINED = {
    "latent_escape": "cloning",
    "bc": "cloning",
    "bc_sac": "cloning",
    "vae": "vae",
    "ibrl": "cloning",
    "trajectory": "skills",
    "hierarchical": "skills",
    "steered": "flow_matching",
}
"""The section of what a method learns before the first step."""


def tiny_method(name: str) -> list[str]:
    """The words that choose a method, at toy size."""
    words = list(TINY_METHODS[name])
    if name in PRETRAINED:
        words += [f"{PRETRAINED[name]}.{word}" for word in TINY_PRETRAINING]
    return [f"method={name}", *(f"method.{word}" for word in words)]


def rl_config(
    demos: Path, prior: Path, out: Path, *words: str, method: str = "latent"
) -> RunConfig:
    """On these demonstrations and this prior; `words` override."""
    places = [f"demos={demos}", f"prior={prior}", f"out={out}"]
    return load_config(CONF, "rl", RunConfig, [*places, *TINY_RL, *tiny_method(method), *words])
