"""Simulated servos on a pseudo-terminal: both protocols, an arm's dynamics behind them, faults."""
