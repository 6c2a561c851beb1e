"""How a joint's servo moves: stiffness, damping, friction, torque limit, delay, backlash, droop."""
