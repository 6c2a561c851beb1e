"""What simulation, training and robot must agree on: contract, arm, controller, safety, bundle."""
