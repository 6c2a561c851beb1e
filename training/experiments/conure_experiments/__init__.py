"""Experiments: a plan, its runs as JSON, checks, and plots and pages made of them."""
