"""Rows of the table of faults, by what is broken."""
