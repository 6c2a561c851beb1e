"""Graphs of nodes, their arguments, and starting them."""
