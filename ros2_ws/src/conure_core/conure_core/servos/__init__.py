"""The common ground of driver and simulated servos: control tables, the bus of an arm, counts and
angles. No I/O.
"""
