"""Demonstrations: collecting, reading and choosing them, and the environments they come from."""
