"""The scenes of the rendered data: a pinhole camera, and streets with houses in perspective.

World: meters, X to the right, Y up from the ground, Z away from the camera. Images: float32 RGB in 0..255.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .canvas import RGB, Vector

HOUSES_AT = 30.0  # meters from the camera to the fronts of the houses
GREENS: list[RGB] = [(58, 104, 52), (76, 126, 58), (98, 146, 66), (48, 88, 50)]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with a horizontal optical axis.

    Attributes:
        focal: Focal length in pixels.
        height: Height above the ground in meters.
        horizon: Row of the horizon in pixels.
        center: Column of the optical axis in pixels.
    """

    focal: float
    height: float
    horizon: float
    center: float

    def project(self, x: ArrayLike, y: ArrayLike, z: ArrayLike) -> NDArray[np.float64]:
        """Project points of the world to pixels (..., 2)."""
        x, y, z = np.broadcast_arrays(np.asarray(x, float), y, z)
        return np.stack(
            [self.center + self.focal * x / z, self.horizon + self.focal * (self.height - y) / z], -1
        )

    def scale(self, z: float) -> float:
        """Return the pixels per meter at distance z."""
        return self.focal / z

    def moved(self, shift: Sequence[float] | NDArray[np.float64], zoom: float) -> Camera:
        """Return the camera panned by ``shift`` (x, y) pixels and zoomed about its center on the horizon."""
        return Camera(self.focal * zoom, self.height, self.horizon + shift[1], self.center + shift[0])


@dataclass(frozen=True)
class Scene:
    """A place and its light.

    Attributes:
        name: Name of the scene.
        sky: Color at the top of the image.
        haze: Color at the horizon, and of what is far away.
        houses: Colors of the walls.
        ground: Color of the paving.
        paving: "slabs", "cobbles" or "asphalt".
        lawn: The strip of grass, as its two distances from the camera in meters.
        sun: -1 for light from the left, 1 from the right.
        shadow: Opacity of the shadows in 0..1.
        light: Factor for each color channel.
        camera_height: Height of the camera in meters.
        props: Kinds of the objects in the street.
    """

    name: str
    sky: RGB
    haze: RGB
    houses: tuple[RGB, ...]
    ground: RGB
    paving: str
    lawn: tuple[float, float]
    sun: float
    shadow: float
    light: RGB
    camera_height: float
    props: tuple[str, ...]


SCENES = (
    Scene(
        name="square",
        sky=(126, 178, 224),
        haze=(226, 236, 240),
        houses=(
            (222, 184, 130),
            (206, 128, 96),
            (232, 214, 176),
            (154, 176, 168),
            (226, 160, 150),
            (190, 196, 206),
        ),
        ground=(196, 186, 170),
        paving="slabs",
        lawn=(21.0, 25.0),
        sun=1.0,
        shadow=0.34,
        light=(1.02, 1.0, 0.97),
        camera_height=2.7,
        props=("column", "lamp", "tree", "planter", "bench", "lamp"),
    ),
    Scene(
        name="park",
        sky=(186, 196, 206),
        haze=(222, 224, 224),
        houses=((176, 170, 160), (150, 156, 164), (196, 188, 172), (164, 148, 138)),
        ground=(158, 154, 150),
        paving="asphalt",
        lawn=(13.5, 27.0),
        sun=-1.0,
        shadow=0.16,
        light=(0.96, 0.98, 1.0),
        camera_height=3.3,
        props=("tree", "bench", "tree", "kiosk", "planter"),
    ),
    Scene(
        name="old town, evening",
        sky=(236, 170, 110),
        haze=(252, 222, 176),
        houses=((206, 150, 90), (188, 110, 84), (222, 186, 140), (150, 120, 130), (214, 170, 96)),
        ground=(172, 152, 136),
        paving="cobbles",
        lawn=(0.0, 0.0),
        sun=1.0,
        shadow=0.42,
        light=(1.05, 0.98, 0.88),
        camera_height=2.5,
        props=("kiosk", "lamp", "phone", "planter", "tree", "column", "lamp"),
    ),
)


def draw_background(
    scene: Scene, camera: Camera, extent: tuple[int, int, int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw the empty street.

    Args:
        scene: The place.
        camera: The camera.
        extent: Left, top, right and bottom of the drawn region in the camera's pixels.
        rng: Random numbers for clouds, houses and paving.

    Returns:
        The image (bottom - top, right - left, 3), RGB in 0..255.
    """
    left, top, right, bottom = extent
    fine = 2
    x = left + (np.arange((right - left) * fine) + 0.5) / fine
    y = top + (np.arange((bottom - top) * fine) + 0.5) / fine
    foot_of_houses = camera.project(0, 0, HOUSES_AT)[1]
    fade = np.clip((y - top) / max(1.0, foot_of_houses - top), 0, 1)[:, None, None]
    sky = np.asarray(scene.sky) * (1 - fade) + np.asarray(scene.haze) * fade
    picture = np.repeat(sky, len(x), axis=1).astype(np.float32)
    clouds = cv2.resize(_noise(rng, (64, 128), 3), (len(x), len(y)), interpolation=cv2.INTER_CUBIC)
    picture += np.clip(clouds[:, :, None] - 0.1, 0, 1) * 60 * (1 - fade)

    def to_pixels(points: NDArray[np.float64]) -> NDArray[np.int32]:
        pixels = camera.project(*np.asarray(points, float).T) - (left, top)
        return np.round(pixels * fine * 16).astype(np.int32)

    _houses(picture, scene, to_pixels, rng)
    below = y > foot_of_houses
    picture[below] = _ground(scene, camera, x, y[below], rng)
    grain = _noise(rng, (len(y) // fine, len(x) // fine), 1)
    shrunk = cv2.resize(picture, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return np.clip(shrunk * scene.light + 5 * grain[:, :, None], 0, 255).astype(np.float32)


def _noise(rng: np.random.Generator, size: tuple[int, int], octaves: int) -> NDArray[np.float32]:
    """Draw noise of mean 0 and the given size, smooth over 2 ** (octaves - 1) pixels and finer."""
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        coarse = [max(2, side >> octave) for side in size]
        layer = rng.standard_normal(coarse).astype(np.float32)
        total += cv2.resize(layer, size[::-1], interpolation=cv2.INTER_CUBIC) * (octave + 1) / octaves
    return total / np.float32(octaves)


def _ground(
    scene: Scene,
    camera: Camera,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw paving, seams that fade with the distance, a lawn with a curb, and stains: (len(y), len(x), 3)."""
    distance = (camera.focal * camera.height / (y - camera.horizon))[:, None]
    wx = (x[None, :] - camera.center) * distance / camera.focal
    z = np.broadcast_to(distance, wx.shape)
    per_meter = camera.focal / z
    size = {"slabs": 0.9, "cobbles": 0.26, "asphalt": 4.0}[scene.paving]
    row = np.floor(z / size)
    column = np.floor(wx / size + 0.5 * (row % 2))
    cell = rng.standard_normal((97, 89)).astype(np.float32)
    tint = cell[row.astype(int) % 97, column.astype(int) % 89]
    in_z, in_x = z / size - row, wx / size + 0.5 * (row % 2) - column
    # A seam is 2.5 cm wide; one thinner than a pixel is drawn so much fainter.
    width = 0.025 / size
    depth_step = per_meter * camera.height / z
    seam_z = np.clip(
        (in_z < np.maximum(width, 1 / (size * depth_step + 1e-6))) * depth_step * 0.025 * 1.2, 0, 1
    )
    seam_x = np.clip((in_x < np.maximum(width, 1 / (size * per_meter))) * per_meter * 0.025 * 1.2, 0, 1)
    seams = np.maximum(seam_z, seam_x) * (0.3 if scene.paving != "asphalt" else 0.12)
    stains = _noise(rng, (256, 256), 6)
    where = ((wx * 18) % 256).astype(np.float32), ((z * 18) % 256).astype(np.float32)
    stain = cv2.remap(stains, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    strength = {"slabs": 7, "cobbles": 13, "asphalt": 3}[scene.paving]
    fade = np.clip(size * depth_step / 3, 0, 1)
    value: NDArray[np.float64] = (1 - seams)[:, :, None] * (
        np.asarray(scene.ground) + (strength * tint * fade + 9 * stain)[:, :, None]
    )
    near, far = scene.lawn
    if far > near:
        wave = 0.5 * np.sin(wx * 0.5) + 0.25 * stain
        grass = np.clip((z - near - wave) * 3, 0, 1) * np.clip((far - z) * 3, 0, 1)
        blades = np.asarray((104, 140, 76)) + (16 * stain + 7 * tint)[:, :, None]
        curb = np.exp(-(((z - near - wave + 0.2) / 0.14) ** 2))[:, :, None]
        value = value * (1 - 0.35 * curb) + 215 * 0.35 * curb
        value = value * (1 - grass[:, :, None]) + blades * grass[:, :, None]
    haze = np.clip((z - 8) / 60, 0, 0.35)[:, :, None]
    return value * (1 - haze) + np.asarray(scene.haze) * haze


def _houses(
    picture: NDArray[np.float32],
    scene: Scene,
    to_pixels: Callable[[NDArray[np.float64]], NDArray[np.int32]],
    rng: np.random.Generator,
) -> None:
    """Draw a row of houses: gables, windows, doors, awnings, and trees in the gaps."""

    def fill(points: Sequence[tuple[float, float]] | NDArray[Any], color: Vector) -> None:
        corners = np.array([(x, y, HOUSES_AT) for x, y in points])
        cv2.fillPoly(picture, [to_pixels(corners)], tuple(float(v) for v in color), cv2.LINE_AA, shift=4)

    def rectangle(x: float, y: float, width: float, height: float, color: Vector) -> None:
        fill([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], color)

    x, previous = -34.0, -1
    while x < 34:
        if rng.random() < 0.16:
            for _ in range(28):
                center, radius = np.array([x + 1.6, 3.0]) + rng.normal(0, (0.9, 0.8)), rng.uniform(0.4, 1.0)
                angles = np.linspace(0, 2 * np.pi, 14)
                green = (
                    np.add(GREENS[rng.integers(4)], rng.normal(0, 8, 3)) * 0.6 + np.asarray(scene.haze) * 0.35
                )
                fill(center + radius * np.stack([np.cos(angles), np.sin(angles)], 1), green)
            rectangle(x + 1.45, 0, 0.3, 2.4, (110, 90, 76))
            x += 3.4
            continue
        choices = [i for i in range(len(scene.houses)) if i != previous]
        previous = choices[rng.integers(len(choices))]
        wall = np.asarray(scene.houses[previous], float) * 0.86 + np.asarray(scene.haze) * 0.14
        width, floors = rng.uniform(4.2, 7.5), int(rng.integers(1, 3))
        height = 3.1 + 2.5 * floors
        rectangle(x, 0, width, height, wall)
        rectangle(x + (width - 0.4 if scene.sun < 0 else 0), 0, 0.4, height, wall * 0.86)
        roof = np.array((150, 86, 66)) * rng.uniform(0.75, 1.05) + 12
        overhang = 0.25
        peak = height + rng.uniform(1.2, 2.6)
        fill(
            [
                (x - overhang, height),
                (x + width + overhang, height),
                (x + width * 0.8, peak),
                (x + width * 0.2, peak),
            ],
            roof,
        )
        rectangle(x - 0.1, height - 0.2, width + 0.2, 0.2, wall * 0.72)
        columns = max(2, int(width // 1.7))
        pitch = width / columns
        for floor in range(1, floors + 1):
            for column in range(columns):
                wx, wy = x + pitch * (column + 0.5) - 0.45, 0.9 + 2.6 * floor
                rectangle(wx - 0.12, wy - 0.1, 1.14, 1.6, np.minimum(wall * 1.18, 250))
                glass = np.array((96, 116, 134)) + rng.normal(0, 14)
                lamp = scene.name.endswith("evening") and rng.random() < 0.35
                rectangle(wx, wy, 0.9, 1.4, (248, 214, 130) if lamp else glass)
                rectangle(wx + 0.41, wy, 0.08, 1.4, np.minimum(wall * 1.18, 250))
                if rng.random() < 0.3:
                    rectangle(
                        wx - 0.1, wy - 0.28, 1.1, 0.22, (170, 80, 90) if rng.random() < 0.5 else (90, 130, 80)
                    )
        door = rng.uniform(0.5, width - 1.6)
        rectangle(x + door, 0, 1.1, 2.2, wall * 0.45)
        rectangle(x + door + 0.12, 0, 0.86, 2.05, np.array((112, 74, 52)) * rng.uniform(0.7, 1.3))
        shop = 0.4 if door > width / 2 else door + 1.6
        span = door - 0.8 if door > width / 2 else width - shop - 0.4
        if span > 1.2:
            rectangle(x + shop, 0.5, span, 1.7, (70, 84, 92))
            rectangle(x + shop + 0.1, 0.6, span * 0.45, 1.4, (126, 142, 146))
            stripe = np.array([(190, 70, 60), (70, 120, 90), (70, 100, 160), (210, 160, 70)][rng.integers(4)])
            for number in range(int(span / 0.3)):
                color = stripe if number % 2 else (238, 232, 220)
                rectangle(x + shop + number * 0.3, 2.15, 0.3, 0.55, color)
        x += width
