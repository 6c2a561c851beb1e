"""What acts: policies as functions from observations to actions. Their files are read by
rl.policy_file.
"""
