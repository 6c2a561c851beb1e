"""The methods of `conure rl`, one a file: settings, learner, the policy as it acts and is exported,
and what builds them.

All of them run in one loop (`rl.loop`), on one replay buffer and under one evaluation.
`rl.registry` names them, `rl.learners` has what they share.
"""
