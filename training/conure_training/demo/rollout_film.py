"""A small GIF of rollouts side by side: the same scenes, one panel for each who acts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from conure_core.runtime.atomic_files import replacing
from conure_core.types import Array
from conure_sim.tools.recording import Driver, record
from conure_sim.vision.camera import Camera, looking_at

FINER = 2
"""Frames are drawn so many times as large, and made smaller at the end: that smooths edges."""
EYE_M, GAZE_M, VIEW_RAD = np.array([0.86, -0.60, 0.52]), np.array([0.21, 0.0, 0.105]), 0.55
STEPS_A_FRAME, FRAME_MS, LAST_FRAME_MS = 2, 100, 1400
"""Twice as fast as the arm, whose control period is 0.1 s."""
COLOURS = 48
GAP_PX, HEAD_PX, FOOT_PX, TEXT_PX = 6, 26, 24, 14
RING_STEPS, RING_PX = 12, 13
PAPER, INK, FAINT = (252, 252, 250), (40, 44, 48), (120, 124, 128)
PATH, RING = (235, 110, 20), (255, 225, 60)
GOOD, OTHER = (31, 122, 77), (176, 110, 10)
TARGET, ANOTHER, NOTHING = "lifts the target", "lifts another object", "lifts nothing"
OUTCOME_COLOURS = {TARGET: GOOD, ANOTHER: OTHER, NOTHING: FAINT}


@dataclass(frozen=True)
class Rollout:
    """An episode as it is shown: n + 1 images, where the tool was in each, px, and what came of it.

    `tool_px` (n + 1, 2); `target_px` (2,): where the target lies at first.
    """

    images: list[Image.Image]
    tool_px: Array
    target_px: Array
    outcome: str


def rollout(env: Any, driver: Driver, seed: int, size_px: int) -> Rollout:
    """One episode, run and then played again before the camera."""
    actions = record(env, driver, seed, (), size_px).actions
    size_px = FINER * size_px
    camera = looking_at(EYE_M, GAZE_M, size_px, size_px, VIEW_RAD)
    _, info = env.reset(seed=seed)
    target_m, _ = env.world.pose(env.scene.target.body)
    target_px = camera.project(target_m[None])[0]
    images, tool_px = [_image(env, camera)], [_tool_px(env, camera)]
    for action in actions:
        *_, info = env.step(action)
        images.append(_image(env, camera))
        tool_px.append(_tool_px(env, camera))
    lifted = ANOTHER if info["any_lifted"] else NOTHING
    outcome = TARGET if info["is_success"] else lifted
    return Rollout(images, np.array(tool_px), target_px, outcome)


def _image(env: Any, camera: Camera) -> Image.Image:
    return Image.fromarray(env.world.view(camera).image)


def _tool_px(env: Any, camera: Camera) -> Array:
    tool_m = env.world.arm.forward(env.world.joint_state().joint_rad)[:3, 3]
    return np.asarray(camera.project(tool_m[None])[0])


def write_film(path: Path, scenes: Sequence[Mapping[str, Rollout]]) -> None:
    """Write the GIF: the scenes one after another, every episode until the longest has ended."""
    frames, times_ms = [], []
    for number, scene in enumerate(scenes, start=1):
        last = max(len(rollout.images) for rollout in scene.values()) - 1
        steps = [*range(0, last, STEPS_A_FRAME), last]
        label = f"scene {number} of {len(scenes)}"
        frames += [_frame(scene, step, label) for step in steps]
        times_ms += [*[FRAME_MS] * (len(steps) - 1), LAST_FRAME_MS]
    # One palette for all, so that what stands still is not stored again.
    samples = frames[:: max(1, len(frames) // 12)]
    strip = Image.fromarray(np.vstack([np.asarray(frame) for frame in samples]))
    palette = strip.quantize(COLOURS - 1, method=Image.Quantize.MEDIANCUT)
    reduced = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    with replacing(path, suffix=".gif") as temporary:
        reduced[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=reduced[1:],
            duration=times_ms,
            loop=0,
            optimize=True,
        )


def _frame(scene: Mapping[str, Rollout], step: int, label: str) -> Image.Image:
    """All panels at one step, each with its title above and its outcome below."""
    size = next(iter(scene.values())).images[0].width // FINER
    width = len(scene) * size + (len(scene) - 1) * GAP_PX
    frame = Image.new("RGB", (width, HEAD_PX + size + FOOT_PX), PAPER)
    draw = ImageDraw.Draw(frame)
    for column, (title, rollout) in enumerate(scene.items()):
        left, last = column * (size + GAP_PX), len(rollout.images) - 1
        draw.text((left + 4, HEAD_PX // 2), title, INK, font(TEXT_PX, "bold"), "lm")
        frame.paste(_panel(rollout, min(step, last)).resize((size, size)), (left, HEAD_PX))
        text = rollout.outcome if step >= last else f"step {step}"
        colour = OUTCOME_COLOURS[rollout.outcome] if step >= last else FAINT
        middle = HEAD_PX + size + FOOT_PX // 2
        draw.text((left + 4, middle), text, colour, font(TEXT_PX), "lm")
        if column == len(scene) - 1:
            draw.text((width - 4, middle), label, FAINT, font(TEXT_PX), "rm")
    return frame


def _panel(rollout: Rollout, step: int) -> Image.Image:
    """The image at a step, with the tool's way until then, and at first a ring about the target."""
    image = rollout.images[step].copy()
    draw = ImageDraw.Draw(image)
    if step < RING_STEPS:
        radius = FINER * RING_PX
        x, y = rollout.target_px
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius), outline=RING, width=2 * FINER
        )
    points = [tuple(point) for point in rollout.tool_px[: step + 1]]
    if len(points) > 1:
        draw.line(points, PATH, width=2 * FINER, joint="curve")
    return image


def font(size_px: int, weight: str = "regular") -> ImageFont.FreeTypeFont:
    """The font that comes with Matplotlib."""
    return ImageFont.truetype(findfont(f"DejaVu Sans:{weight}"), size_px)
