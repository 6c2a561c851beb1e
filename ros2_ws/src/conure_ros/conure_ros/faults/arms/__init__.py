"""Models of real arms: they lag, have speed limits, queue commands, get stuck, are moved by hand,
and measure wrongly.
"""
