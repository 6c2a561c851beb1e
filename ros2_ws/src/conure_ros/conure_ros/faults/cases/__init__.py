"""Rows of the table of faults, by the part that fails."""
