"""Configuration of the simulation: verbs, and the randomization presets."""
