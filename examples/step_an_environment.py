"""Make an environment and act in it: random actions, then the task's scripted expert.

python examples/step_an_environment.py
"""

import gymnasium

import conure_sim  # noqa: F401  registers conure/NAME-v0

env = gymnasium.make("conure/Lift-v0", arm="wx250s", image_size=48)
observation, info = env.reset(seed=0)
for name, values in observation.items():
    print(f"{name:8} {values.dtype} {values.shape}")

env.action_space.seed(0)
for _ in range(5):
    action = env.action_space.sample()  # (7,) in [-1, 1]: move, turn, gripper
    observation, reward, terminated, truncated, info = env.step(action)
print(f"five random actions: reward {reward}")

table = env.unwrapped
observation, info = env.reset(seed=0)
expert, steps, done = table.task.expert(table.scene), 0, False
while not done:
    observation, reward, terminated, truncated, info = env.step(expert.action())
    steps, done = steps + 1, terminated or truncated
print(f"the expert: {'success' if info['is_success'] else 'no success'} after {steps} steps")
env.close()
