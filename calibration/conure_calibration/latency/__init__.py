"""Delays of a camera, of joint feedback and of commands, from recordings of an arm that nods."""
