"""MuJoCo worlds: another engine, contact model, servo and renderer, for evaluation only."""
