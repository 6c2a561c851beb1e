"""Names that keys of the command line had before, each until the next release."""

from conure_core.config.renamed_keys import Renamed

LATENT = (
    "latent",
    "latent_escape",
    "latent_finetuned",
    "latent_inverted",
    "steered",
    "trajectory",
    "hierarchical",
)
CLONED = ("bc", "bc_sac", "ibrl")
ON_FEATURES = ("bc_sac", "ibrl", "prior_explore", "vae")

RL = (
    Renamed("escape=true", "method=latent_escape", "method", ("latent",)),
    Renamed("escape=false", ""),
    Renamed("finetune_encoder=true", "method=latent_finetuned", "method", ("latent",)),
    Renamed("finetune_encoder=false", ""),
    Renamed("demonstrations_in=z", "method=latent_inverted", "method", ("latent",)),
    Renamed("demonstrations_in=action", ""),
    Renamed("critic", "method.critic"),
    Renamed("escape_margin", "method.margin", "method", ("latent_escape",)),
    Renamed("escape_cloning.*", "method.cloning.*", "method", ("latent_escape",)),
    Renamed("prior_explore_epsilon", "method.epsilon", "method", ("prior_explore",)),
    Renamed("latent.*", "method.*", "method", LATENT),
    Renamed("scratch.*", "method.*", "method", ("scratch",)),
    Renamed("features.hidden_width", "method.hidden_width", "method", ("bc",)),
    Renamed("features.hidden_layers", "method.hidden_layers", "method", ("bc",)),
    Renamed("features.*", "method.*", "method", ON_FEATURES),
    Renamed("rlpd.*", "method.*", "method", ("rlpd",)),
    Renamed("cloning.*", "method.cloning.*", "method", CLONED),
    Renamed("vae.*", "method.vae.*", "method", ("vae",)),
    Renamed("trajectory.*", "method.skills.*", "method", ("trajectory",)),
    Renamed("hierarchical.*", "method.skills.*", "method", ("hierarchical",)),
    Renamed("steered.*", "method.flow_matching.*", "method", ("steered",)),
)

DEMO = (Renamed("rl.scratch.*", "scratch.*"), *(row.below("rl") for row in RL))

RENAMED = {"rl": RL, "demo": DEMO}
