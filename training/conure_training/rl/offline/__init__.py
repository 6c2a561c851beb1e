"""Learners from a fixed data set, one a file: DDPG, which fails at it, and what repairs it.

The methods of `conure rl` among them have settings, learner, policy and builder in the same file.
"""
