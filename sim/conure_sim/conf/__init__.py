"""Configuration of the simulation: verbs, and the group `randomization`, which every verb with an
environment has.
"""
