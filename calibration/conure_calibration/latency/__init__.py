"""Delays of a camera, of joint feedback and of commands, from what was recorded while an arm nods."""
