"""Planned, blinded trials of several policies on one arm, reset and labelled by a person."""
