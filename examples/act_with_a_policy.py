"""Act with whatever was trained: a prior, a policy, or a bundle.

python examples/act_with_a_policy.py [out/demo/prior/prior.pt | policy.pt | BUNDLE]
"""

import sys
from pathlib import Path

import gymnasium
import numpy as np

import conure_sim  # noqa: F401  registers conure/NAME-v0
from conure_training import load_policy

path = Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo/rl/latent/policy.pt")
policy = load_policy(path)
image_size = policy.contract.observation.image.shape[0]
env = gymnasium.make("conure/Lift-v0", objects="test", image_size=image_size)

for seed in range(2):
    rng, done = np.random.default_rng(seed), False
    observation, info = env.reset(seed=seed)
    policy.begin()
    while not done:
        noise = rng.standard_normal(policy.noise_dim).astype(np.float32)  # zeros: the mean
        action = policy.act(observation, noise)
        observation, reward, terminated, truncated, info = env.step(action)
        done = terminated or truncated
    print(f"seed {seed}, target {info['target']}: success {info['is_success']}")
env.close()
