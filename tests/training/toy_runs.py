"""Settings under which a prior is trained and `conure rl` runs in seconds."""

from pathlib import Path

from conure_core.config.loader import load_config
from conure_training.rl.train import RlConfig

CONF = "conure_training.conf"
TINY_PRIOR = [
    "static_scenes=200",
    "encoder_steps=4",
    "joint_steps=2",
    "flow_steps=4",
    "batch_size=16",
    "workers=1",
]
TINY_RL = [
    "steps=120",
    "checkpoint_every=50",
    "latent.critic_pretraining_updates=3",
    "latent.batch_size=16",
]
TINY_RIVALS = [
    "latent.updates_per_step=0.3",
    "scratch.batch_size=8",
    "scratch.updates_per_step=0.1",
    *(
        f"{group}.{word}"
        for group in ("features", "rlpd")
        for word in (
            "critic_pretraining_updates=3",
            "batch_size=16",
            "hidden_width=32",
            "updates_per_step=0.3",
        )
    ),
    *(
        f"{group}.{word}"
        for group in ("cloning", "escape_cloning", "vae", "trajectory", "hierarchical", "steered")
        for word in ("steps=3", "batch_size=16")
    ),
]


def rl_config(demos: Path, prior: Path, out: Path, *words: str) -> RlConfig:
    """On these demonstrations and this prior; `words` override."""
    return load_config(
        CONF, "rl", RlConfig, [f"demos={demos}", f"prior={prior}", f"out={out}", *TINY_RL, *words]
    )
