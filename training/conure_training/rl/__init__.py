"""Reinforcement learning: the loop, replay, and what learners share."""
