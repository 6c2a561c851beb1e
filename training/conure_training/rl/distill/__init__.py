"""A policy on what a robot sees, from a teacher that may see more."""
