"""Train a toy prior on demonstrations, sample actions from it, and invert one.

python examples/collect_demonstrations.py
python examples/train_a_prior.py [DEMOS] [FOLDER]
"""

import sys
from pathlib import Path

import torch

from conure_core.config.loader import load_config
from conure_training import load_prior, train_prior
from conure_training.data.demonstrations import load_demonstrations
from conure_training.prior.train import PriorConfig

TOY = ["static_scenes=40", "encoder_steps=3", "joint_steps=2", "flow_steps=20"]


def main() -> None:
    demos = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples/demos")
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "out/examples/prior")
    settings = [f"demos={demos}", f"out={folder}", "batch_size=8", "workers=1", *TOY]
    path = train_prior(load_config("conure_training.conf", "prior", PriorConfig, settings))

    prior, data = load_prior(path), load_demonstrations(demos)
    first = {"image": data.image[0], "proprio": data.proprio[0]}
    demonstrated = torch.from_numpy(data.action[:1])
    with torch.inference_mode():
        features = prior.features(first)
        sampled = prior.flow.decode(torch.randn(1, 7), features)  # z ~ N(0, I)
        z, log_likelihood = prior.flow.encode_with_log_prob(demonstrated, features)
    for name, values in (("sampled", sampled), ("demonstrated", demonstrated), ("its z", z)):
        print(f"{name:12}", *(f"{value:+.2f}" for value in values[0].tolist()))
    print(f"its log-likelihood: {log_likelihood[0]:.1f} nats")


if __name__ == "__main__":  # static scenes are rendered by processes, which import this file
    main()
