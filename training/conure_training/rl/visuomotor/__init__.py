"""Reinforcement and imitation learning together, from pixels: Zhu et al. 2018."""
