"""Faults on the live graph, and random commands through the safety gate: what must happen when
something fails.
"""
