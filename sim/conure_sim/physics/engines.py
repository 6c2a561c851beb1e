"""The physics engines by name, made at first use."""

from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.description import RobotConfig
from conure_sim.physics.arm_simulation import ArmSimulation
from conure_sim.physics.bullet_world import BulletWorld
from conure_sim.physics.world import World
from conure_sim.vision.camera import Camera

PYBULLET = "pybullet"
MUJOCO = "mujoco"
ENGINES = (PYBULLET, MUJOCO)
"""The first trains and evaluates; the second stands in for reality, for evaluation only."""


def require_engine(name: str) -> None:
    """Raises: ConfigError for an unknown engine, listing the valid names."""
    if name not in ENGINES:
        raise unknown_name("physics", name, ENGINES)


def make_world(
    engine: str, robot: RobotConfig, camera: Camera, simulation: ArmSimulation, window: bool = False
) -> World:
    """Start a physics engine with table and arm.

    Args:
        engine: One of ENGINES.
        robot: The arm.
        camera: The camera that `render` uses by default.
        simulation: Motors, table and camera of the arm.
        window: Whether to open the engine's own window; PyBullet alone has one.

    Returns:
        The world.

    Raises:
        ConfigError: The engine is unknown, not installed, or has no window.
    """
    require_engine(engine)
    if engine == PYBULLET:
        return BulletWorld(robot, camera, simulation, window=window)
    if window:
        raise ConfigError("physics=mujoco opens no window; leave it out, or use physics=pybullet")
    from conure_sim.physics.mujoco.world import MujocoWorld

    return MujocoWorld(robot, camera, simulation)
