"""Policies: functions from observations to actions. `rl.policy_file` reads their files."""
