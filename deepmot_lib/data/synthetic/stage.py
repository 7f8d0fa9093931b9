"""A rendered sequence: a street, its people and the camera's motion, with each frame's ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from . import canvas, scenery
from .crowd import FAR, FRAME_RATE, NEAR, Walker, crowd
from .people import draw_person
from .props import Prop, cast_shadow
from .scenery import Camera, Scene

#: How far a moving camera pans beyond the static one's view, as fractions of the image's width and height.
MARGIN = (0.34, 0.06)

#: A box x1, y1, x2, y2 in pixels.
Box: TypeAlias = tuple[float, float, float, float]


@dataclass
class Stage:
    """A scene, its people and the camera's motion, ready to be rendered frame by frame.

    Attributes:
        scene: The place and its light.
        camera: The camera at rest.
        size: (height, width) of the images in pixels.
        margin: How far the camera pans horizontally and vertically, in pixels.
        background: The empty street, RGB, larger than an image by the margin on each side.
        props: Objects in the street.
        walkers: The people's trajectories.
        shift: (frames, 2), the camera's pan (x, y) in pixels.
        zoom: (frames,), the camera's zoom.
        light: (frames, 3), factor for each color channel.
        noise: Standard normal, from which each frame's sensor noise is cut.
        seed: Seed and number of the sequence.
    """

    scene: Scene
    camera: Camera
    size: tuple[int, int]
    margin: tuple[int, int]
    background: NDArray[np.float32]
    props: list[Prop]
    walkers: list[Walker]
    shift: NDArray[np.float64]
    zoom: NDArray[np.float64]
    light: NDArray[np.float64]
    noise: NDArray[np.float32]
    seed: list[int]

    @classmethod
    def build(
        cls,
        number: int,
        frames: int,
        image_size: tuple[int, int],
        seed: int,
        density: float = 1.0,
        all_move: bool = False,
    ) -> Stage:
        """Sample a sequence; scenery, people and camera each have a random stream of their own.

        Args:
            number: Number of the sequence, from 1; chooses the scene, and every third camera moves.
            frames: Number of frames.
            image_size: (height, width) of the images in pixels.
            seed: Seed of all sequences.
            density: Number of people in view, relative to the usual one.
            all_move: Whether the camera moves whatever the number.

        Returns:
            The sequence.
        """
        height, width = image_size
        rng, people, air = (np.random.default_rng([seed, number, stream]) for stream in range(3))
        scene = scenery.SCENES[(number - 1) % len(scenery.SCENES)]
        # The field of view does not depend on the aspect ratio.
        focal = 0.9 * np.sqrt(width * height * 4 / 3)
        camera = Camera(focal, scene.camera_height, rng.uniform(0.2, 0.25) * height, width / 2)
        moving = all_move or number % 3 == 0
        margin = (int(MARGIN[0] * width), int(MARGIN[1] * height)) if moving else (0, 0)
        extent = (-margin[0], -margin[1], width + margin[0], height + margin[1])
        background = scenery.draw_background(scene, camera, extent, rng)
        shift, zoom = (
            _camera_motion(frames, margin, height, rng)
            if moving
            else (np.zeros((frames, 2)), np.ones(frames))
        )
        props = _place_props(scene, camera, width / 2 + margin[0], rng)
        # As many in view, moving or not.
        in_view = round(density * (9 + 3 * (number % 3)) * (1 + 2 * margin[0] / width))
        walkers = crowd(camera, width / 2 + margin[0], frames, props, in_view, people)
        t = np.arange(frames)[:, None] / FRAME_RATE
        drift = 0.05 * np.sin(2 * np.pi * t / air.uniform(8, 20) + air.uniform(0, 6)) + 0.015 * np.sin(
            t * (0.9, 1.0, 1.15)
        )
        noise = air.standard_normal((height + 64, width + 64, 3)).astype(np.float32)
        return cls(
            scene,
            camera,
            image_size,
            margin,
            background,
            props,
            walkers,
            shift,
            zoom,
            1 + drift,
            noise,
            [seed, number],
        )

    def camera_at(self, frame: int) -> Camera:
        """Return the camera in a frame (from 1)."""
        return self.camera.moved(self.shift[frame - 1], self.zoom[frame - 1])

    def render(self, frame: int) -> tuple[NDArray[np.uint8], list[tuple[float, ...]]]:
        """Render a frame.

        Args:
            frame: Frame number, from 1.

        Returns:
            The image, (height, width, 3) RGB, and one row per person: frame, id, x1, y1, x2, y2, visibility
            in [0, 1], and the box of the visible part (NaN if none).
        """
        height, width = self.size
        camera, sun = self.camera_at(frame), self.scene.sun
        zoom = self.zoom[frame - 1]
        move = np.array([camera.center, camera.horizon]) - zoom * np.array(
            [self.camera.center, self.camera.horizon]
        )
        matrix = np.array(
            [[zoom, 0, move[0] - zoom * self.margin[0]], [0, zoom, move[1] - zoom * self.margin[1]]]
        )
        warped = cv2.warpAffine(self.background, matrix, (width, height), flags=cv2.INTER_LINEAR)
        picture = warped.astype(np.float32, copy=False)
        owners = np.zeros((height, width), np.int32)

        drawn: list[tuple[float, int, canvas.Sprite, tuple[float, float]]] = []
        for prop in self.props:
            foot = _pixel(camera, prop.x, prop.z)
            drawn.append((prop.z, -1, prop.draw(foot, camera.scale(prop.z), sun), foot))
        for index, walker in enumerate(self.walkers, start=1):
            if not walker.present[frame - 1]:
                continue
            x, z = walker.x[frame - 1], walker.z[frame - 1]
            pose = walker.heading[frame - 1], walker.phase[frame - 1], walker.stride[frame - 1]
            foot, scale = _pixel(camera, x, z), camera.scale(z)
            if -scale < foot[0] < width + scale and foot[1] - 2.2 * scale < height:
                drawn.append((z, index, draw_person(walker.appearance, foot, scale, *pose, sun), foot))
        drawn.sort(key=lambda item: -item[0])
        for _, _, sprite, foot in drawn:
            cast_shadow(picture, sprite, foot, sun, self.scene.shadow)
        for _, owner, sprite, _ in drawn:
            canvas.paste(picture, sprite, owners, owner)

        rows = []
        for _, owner, sprite, _ in drawn:
            row = _ground_truth(frame, owner, sprite, owners) if owner > 0 else None
            rows += [row] if row else []
        return self._develop(picture, frame), sorted(rows, key=lambda row: row[1])

    def _develop(self, picture: NDArray[np.float32], frame: int) -> NDArray[np.uint8]:
        """Add drifting light, blur, vignetting, and sensor noise that is stronger in the dark."""
        height, width = self.size
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        vignette = (1 - 0.09 * (x**2 + y**2))[:, :, None].astype(np.float32)
        picture = (
            cv2.GaussianBlur(picture, (0, 0), 0.45) * vignette * self.light[frame - 1].astype(np.float32)
        )
        top, left = np.random.default_rng([*self.seed, 9, frame]).integers(0, 64, 2)
        noise = self.noise[top : top + height, left : left + width]
        return np.clip(picture + noise * (4.0 - picture * (2.5 / 255)) + 0.5, 0, 255).astype(np.uint8)

    def ghost_box(self, rng: np.random.Generator) -> Callable[[int], Box | None]:
        """Sample a person-sized place for false detections, most often at an upright object.

        Args:
            rng: Random numbers.

        Returns:
            A function from a frame to the place's box in it, or None out of view.
        """
        upright = [prop for prop in self.props if prop.kind not in ("bench", "planter")]
        if upright and rng.random() < 0.6:
            prop = upright[rng.integers(len(upright))]
            x, z = prop.x + rng.normal(0, 0.15), prop.z
        else:
            z = rng.uniform(NEAR, FAR)
            x = rng.uniform(-0.5, 0.5) * self.size[1] * z / self.camera.focal
        tall = rng.uniform(1.4, 2.0)

        def box_at(frame: int) -> Box | None:
            camera = self.camera_at(frame)
            corners = camera.project([x - 0.2 * tall, x + 0.2 * tall], [tall, 0], z)
            (left, top), (right, bottom) = corners.tolist()
            return (left, top, right, bottom) if right > 4 and left < self.size[1] - 4 else None

        return box_at


def _pixel(camera: Camera, x: float, z: float) -> tuple[float, float]:
    """Project a point on the ground."""
    column, row = camera.project(x, 0, z).tolist()
    return column, row


def _ground_truth(
    frame: int, owner: int, sprite: canvas.Sprite, owners: NDArray[np.int32]
) -> tuple[float, ...] | None:
    """Return a person's row of the table, None if less than 3 % of the silhouette are inside the image."""
    there, part = canvas.window(sprite, owners.shape)
    inside, area = int((sprite.pixels[part][:, :, 3] >= 0.5).sum()), sprite.area()
    if inside < max(1.0, 0.03 * area):
        return None
    x, y, width, height = cv2.boundingRect((owners[there] == owner).astype(np.uint8))
    seen = int((owners[there] == owner).sum())
    x, y = x + there[1].start, y + there[0].start
    in_view: Box = (x, y, x + width, y + height) if seen else (np.nan, np.nan, np.nan, np.nan)
    return (frame, owner, *sprite.box(), seen / area, *in_view)


def _camera_motion(
    frames: int, margin: tuple[int, int], height: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Sample a hand-held pan back and forth with a slow zoom: shift (frames, 2) in pixels, zoom (frames,)."""
    t = np.arange(frames) / FRAME_RATE
    pan = 0.85 * margin[0] * np.sin(2 * np.pi * t / rng.uniform(14, 20) + rng.uniform(0, 2 * np.pi))
    tremble = np.cumsum(rng.normal(0, 0.0018 * height, (frames, 2)), axis=0)
    tremble -= np.linspace(0, 1, frames)[:, None] * tremble[-1]
    shift = np.stack([pan, np.zeros(frames)], 1) + tremble.clip(-0.1 * margin[0], 0.1 * margin[0])
    zoom = 1 + 0.07 * (1 - np.cos(2 * np.pi * t / 11))
    return shift.clip(-np.array(margin), margin), zoom


def _place_props(scene: Scene, camera: Camera, half_width: float, rng: np.random.Generator) -> list[Prop]:
    """Place the scene's props side by side over the whole view, each at a distance of its own."""
    props = []
    slots = rng.permutation(len(scene.props))
    for slot, kind in zip(slots, scene.props, strict=True):
        z = rng.uniform(
            *{"kiosk": (9, 13), "column": (7, 12), "tree": (6.5, 13), "lamp": (5.5, 11)}.get(kind, (7, 13))
        )
        aside = (slot + rng.uniform(0.25, 0.75)) / len(scene.props) * 2 - 1
        props.append(Prop(kind, aside * half_width * z / camera.focal, z, int(rng.integers(2**31))))
    return props
