"""PyBullet worlds, bodies and arms."""
