"""What must happen when something fails: faults on the live graph, and random commands through the
gate.
"""
