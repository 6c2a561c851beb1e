"""Deep Q-learning from demonstrations: discrete actions, a replay that keeps what was shown."""
