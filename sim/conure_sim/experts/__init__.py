"""Scripted experts, one file a family. Each acts on the true state of its scene; see `motion`."""

from conure_sim.experts.pick_place import PickPlaceExpert

__all__ = ["PickPlaceExpert"]
