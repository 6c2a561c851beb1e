"""Adversarial imitation: a discriminator's reward for on-policy learners."""
