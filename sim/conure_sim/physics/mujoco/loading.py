"""MuJoCo itself, imported when it is used first."""

import os
from functools import cache
from typing import Any

from conure_core.errors import ConfigError

RENDERERS = ("egl", "osmesa", "glfw")


@cache
def load_mujoco() -> Any:
    """Import MuJoCo, drawing without a display unless MUJOCO_GL says otherwise.

    Raises:
        ConfigError: MuJoCo is not installed, or MUJOCO_GL names a renderer that does not exist.
    """
    renderer = os.environ.setdefault("MUJOCO_GL", "egl")
    if renderer not in RENDERERS:
        raise ConfigError(
            f"MUJOCO_GL is '{renderer}', expected one of {', '.join(RENDERERS)}; unset it, or set"
            " it to one of these"
        )
    try:
        import mujoco
    except ModuleNotFoundError as error:
        raise ConfigError(
            "physics=mujoco needs MuJoCo, which is not installed: pip install 'conure[mujoco]'"
        ) from error
    except (ImportError, OSError, AttributeError) as error:
        raise ConfigError(
            f"MuJoCo cannot draw with MUJOCO_GL={renderer} ({error}); on Debian or Ubuntu:"
            " sudo apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
        ) from error
    return mujoco
