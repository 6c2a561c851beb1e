"""What driver and simulated servos must agree on: control tables, the bus of an arm, counts and
angles. No I/O.
"""
