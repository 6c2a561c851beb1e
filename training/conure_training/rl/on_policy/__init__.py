"""On-policy learning: whole episodes collected by the present policy, advantages, PPO and TRPO."""
