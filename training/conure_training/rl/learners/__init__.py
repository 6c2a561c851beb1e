"""What methods share: the actor-critic update and learners made of it, and what is learned from
demonstrations before the first step.
"""
