"""Calibration boards: what they are, how they are printed, found in images and drawn."""
