"""PyBullet: arm, scene, cameras, randomization, tasks, scripted experts, Gymnasium environments."""
