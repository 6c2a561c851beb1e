"""Render a MuJoCo model: colours, and depth and bodies on request, through the camera's lens."""

from typing import Any

import cv2
import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from conure_core.errors import ConfigError
from conure_core.types import Array
from conure_sim.physics.mujoco.loading import load_mujoco
from conure_sim.physics.mujoco.model import VISIBLE
from conure_sim.vision.camera import FAR_M, NEAR_M, Camera, Intrinsics
from conure_sim.vision.rendering import NOTHING, View, through_lens

CAMERA = "view"
FLIP = np.diag([1.0, -1.0, -1.0])
"""OpenCV's axes of a camera in MuJoCo's: x right, y up, z back."""


def add_camera(spec: Any) -> None:
    """Add the one camera of a model; it is moved to where each view is from."""
    camera = spec.worldbody.add_camera(name=CAMERA)
    camera.resolution = 16, 16
    camera.sensor_size = 1.0, 1.0
    camera.focal_pixel = 16.0, 16.0
    spec.visual.map.znear = NEAR_M
    spec.visual.map.zfar = FAR_M
    spec.stat.extent = 1.0
    spec.visual.global_.offwidth = 1
    spec.visual.global_.offheight = 1


class ModelRenderer:
    """Draws one model. Buffers are made for the first size asked for, and anew for another."""

    def __init__(self, model: Any, data: Any, shadow: bool) -> None:
        """Draw nothing yet.

        Args:
            model: Compiled, with `add_camera`.
            data: Its state.
            shadow: Whether to draw shadows.
        """
        self._mujoco = load_mujoco()
        self._model = model
        self._data = data
        self._shadow = shadow
        self._options = self._mujoco.MjvOption()
        self._options.geomgroup[:] = 0
        self._options.geomgroup[VISIBLE] = 1
        self._renderer: Any = None

    def close(self) -> None:
        """Free the buffers."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def view(self, camera: Camera, handles: NDArray[np.int32] | None, depth: bool) -> View:
        """Render what a camera sees.

        Args:
            camera: In the base frame.
            handles: The body that each geom belongs to, (n,); None: bodies are not asked for.
            depth: Whether to give depth.

        Returns:
            The image, and what was asked for.
        """
        optics = camera.intrinsics.pinhole
        renderer = self._sized(optics)
        self._aim(optics, camera.base_from_camera)
        renderer.update_scene(self._data, CAMERA, self._options)
        renderer.scene.flags[self._mujoco.mjtRndFlag.mjRND_SHADOW] = self._shadow
        image = through_lens(camera, renderer.render(), cv2.INTER_LINEAR)

        depth_m = None
        if depth:
            renderer.enable_depth_rendering()
            seen_m = renderer.render()
            renderer.disable_depth_rendering()
            seen_m = np.where(seen_m < 0.999 * FAR_M, seen_m, 0.0).astype(np.float32)
            depth_m = through_lens(camera, seen_m, cv2.INTER_NEAREST)

        bodies = None
        if handles is not None:
            renderer.enable_segmentation_rendering()
            geoms = renderer.render()[..., 0]
            renderer.disable_segmentation_rendering()
            seen = np.where(geoms < 0, NOTHING, handles[geoms]).astype(np.float32)
            bodies = through_lens(camera, seen, cv2.INTER_NEAREST).astype(np.int32)
        return View(image, depth_m, bodies)

    def _sized(self, optics: Intrinsics) -> Any:
        """The renderer for images of this size."""
        size = (optics.height_px, optics.width_px)
        if self._renderer is not None and (self._renderer.height, self._renderer.width) == size:
            return self._renderer
        self.close()
        buffers = self._model.vis.global_
        buffers.offheight = optics.height_px
        buffers.offwidth = optics.width_px
        try:
            self._renderer = self._mujoco.Renderer(self._model, *size)
        except Exception as error:  # PyOpenGL's and MuJoCo's own have no common parent
            raise ConfigError(
                f"MuJoCo cannot draw {size[1]} x {size[0]} px without a display ({error}); on"
                " Debian or Ubuntu: sudo apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
            ) from error
        return self._renderer

    def _aim(self, optics: Intrinsics, base_from_camera: Array) -> None:
        """Give the model's camera these optics and this pose."""
        model = self._model
        size_px = np.array([optics.width_px, optics.height_px])
        focal_px = np.array([optics.fx_px, optics.fy_px])
        off_centre_px = np.array([optics.cx_px, optics.cy_px]) - (size_px - 1) / 2
        per_px = 1 / optics.height_px

        model.cam_resolution[0] = size_px
        model.cam_sensorsize[0] = size_px * per_px
        model.cam_intrinsic[0] = per_px * np.concatenate([focal_px, -off_centre_px])
        model.cam_pos[0] = base_from_camera[:3, 3]
        rotation = pin.Quaternion(base_from_camera[:3, :3] @ FLIP)
        model.cam_quat[0] = rotation.coeffs()[[3, 0, 1, 2]]
        self._mujoco.mj_camlight(model, self._data)
