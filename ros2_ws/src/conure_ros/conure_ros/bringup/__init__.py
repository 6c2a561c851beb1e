"""Graphs of nodes, their arguments, and their launcher."""
