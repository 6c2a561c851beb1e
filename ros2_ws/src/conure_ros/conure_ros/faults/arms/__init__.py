"""Arms that behave as arms do: they lag, have speeds of their own, queue, get stuck, are moved, and
measure wrongly.
"""
