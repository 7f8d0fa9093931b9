"""Street furniture that occludes people (trees, lamps, kiosks, benches), and shadows."""
# ruff: noqa: RUF005 -- an array plus a tuple is a sum of vectors here

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import Brush, Sprite, Vector, window
from .scenery import GREENS


@dataclass(frozen=True)
class Prop:
    """An object in the street at (x, z), in meters."""

    kind: str
    x: float
    z: float
    seed: int

    @property
    def radius(self) -> float:
        """The radius around (x, z), in meters, that no person's path enters."""
        return {"kiosk": 1.3, "bench": 0.9, "planter": 0.8, "column": 0.75, "phone": 0.6}.get(self.kind, 0.4)

    @functools.lru_cache(maxsize=32)  # noqa: B019 -- from a static camera every frame shows the same sprite
    def draw(self, foot: tuple[float, float], scale: float, sun: float) -> Sprite:
        """Draw the object with its foot at these frame pixels; its shape follows from ``seed``."""
        extent = {"tree": (2.0, 5.2, 0.2), "lamp": (0.7, 4.1, 0.2)}.get(self.kind, (1.6, 3.4, 0.3))
        brush = Brush(extent, scale, foot, sun)
        PROPS[self.kind](brush, np.random.default_rng(self.seed))
        return brush.sprite()


def _rectangle(brush: Brush, x: float, y: float, width: float, height: float, color: Vector) -> None:
    color = np.asarray(color, float)
    brush.polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], color)
    dark = x if brush.sun > 0 else x + 0.82 * width
    brush.polygon(
        [(dark, y), (dark + 0.18 * width, y), (dark + 0.18 * width, y + height), (dark, y + height)],
        color * 0.82,
    )


def _tree(brush: Brush, rng: np.random.Generator) -> None:
    brush.capsule((0, 0), (rng.normal(0, 0.06), 2.6), 0.2, 0.13, (104, 78, 58))
    brush.capsule((0, 2.1), (0.7, 3.2), 0.09, 0.06, (96, 72, 54))
    brush.capsule((0, 2.3), (-0.6, 3.2), 0.09, 0.06, (96, 72, 54))
    for height in np.sort(rng.uniform(0, 1, 46)):
        angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        center = (1.35 * reach * np.cos(angle), 3.6 + 0.95 * reach * np.sin(angle))
        color = np.add(GREENS[rng.integers(4)], rng.normal(0, 7, 3)) * (0.75 + 0.35 * height)
        brush.disc(center, rng.uniform(0.22, 0.46), np.clip(color, 0, 255))


def _lamp(brush: Brush, rng: np.random.Generator) -> None:
    iron = (52, 60, 58)
    brush.capsule((0, 0), (0, 0.5), 0.12, 0.08, iron)
    brush.capsule((0, 0.5), (0, 3.3), 0.06, 0.045, iron)
    brush.capsule((-0.22, 3.25), (0.22, 3.25), 0.035, 0.035, iron)
    brush.polygon([(-0.16, 3.3), (0.16, 3.3), (0.24, 3.75), (-0.24, 3.75)], (250, 240, 200))
    brush.polygon([(-0.28, 3.75), (0.28, 3.75), (0, 3.98)], iron)


def _column(brush: Brush, rng: np.random.Generator) -> None:
    _rectangle(brush, -0.6, 0, 1.2, 2.5, (214, 206, 186))
    _rectangle(brush, -0.64, 0, 1.28, 0.35, (86, 100, 92))
    palette = [(196, 64, 58), (60, 110, 170), (238, 190, 70), (80, 150, 110), (240, 240, 236), (150, 90, 150)]
    y = 0.5
    while y < 2.0:
        x, height = -0.58, rng.uniform(0.5, 0.8)
        while x < 0.4:
            width = min(rng.uniform(0.35, 0.6), 0.57 - x)
            color = palette[rng.integers(len(palette))]
            _rectangle(brush, x, y, width - 0.04, min(height, 2.3 - y) - 0.05, color)
            brush.disc((x + width / 2, y + height * 0.35), 0.1, palette[rng.integers(len(palette))])
            x += width
        y += height
    _rectangle(brush, -0.68, 2.4, 1.36, 0.16, (86, 100, 92))
    arc = np.linspace(0, np.pi, 16)
    brush.polygon(np.stack([0.6 * np.cos(arc), 2.55 + 0.42 * np.sin(arc)], 1), (96, 112, 102))
    brush.capsule((0, 2.9), (0, 3.15), 0.05, 0.02, (210, 180, 90))


def _kiosk(brush: Brush, rng: np.random.Generator) -> None:
    paint = [(58, 104, 92), (150, 62, 58), (60, 84, 130)][rng.integers(3)]
    _rectangle(brush, -1.15, 0, 2.3, 2.35, paint)
    _rectangle(brush, -0.95, 1.05, 1.9, 0.95, (62, 58, 56))
    for number in range(9):
        color = np.array(GREENS + [(220, 90, 60), (240, 200, 80), (230, 230, 220)])[rng.integers(7)]
        brush.disc((-0.8 + 0.2 * number, 1.16), 0.085, color)
    _rectangle(brush, -1.05, 0.95, 2.1, 0.1, (214, 190, 150))
    for number in range(8):
        color = (240, 236, 226) if number % 2 else np.minimum(np.array(paint) * 1.3, 255)
        x = -1.32 + 0.33 * number
        brush.polygon([(x, 1.85), (x + 0.33, 1.85), (x + 0.3, 2.4), (x + 0.02, 2.4)], color)
    _rectangle(brush, -1.25, 2.38, 2.5, 0.14, np.multiply(paint, 0.8))


def _bench(brush: Brush, rng: np.random.Generator) -> None:
    for x in (-0.72, 0.66):
        _rectangle(brush, x, 0, 0.07, 0.85, (60, 62, 64))
    for y in (0.4, 0.56, 0.7, 0.84):
        _rectangle(brush, -0.85, y, 1.7, 0.1, (158, 108, 68))
    brush.polygon([(-0.9, 0.36), (0.9, 0.36), (0.85, 0.46), (-0.85, 0.46)], (182, 130, 84))


def _planter(brush: Brush, rng: np.random.Generator) -> None:
    for _ in range(34):
        center = rng.uniform((-0.6, 0.5), (0.6, 1.15))
        brush.disc(center, rng.uniform(0.1, 0.2), np.add(GREENS[rng.integers(4)], rng.normal(0, 8, 3)))
    for _ in range(12):
        flower = [(220, 80, 90), (240, 200, 80), (236, 236, 240)][rng.integers(3)]
        brush.disc(rng.uniform((-0.6, 0.7), (0.6, 1.2)), 0.045, flower)
    _rectangle(brush, -0.72, 0, 1.44, 0.55, (168, 156, 144))
    _rectangle(brush, -0.77, 0.48, 1.54, 0.1, (186, 174, 160))


def _phone(brush: Brush, rng: np.random.Generator) -> None:
    red = (186, 44, 44)
    _rectangle(brush, -0.46, 0, 0.92, 2.3, red)
    for row in range(5):
        for column in range(3):
            brush.polygon(
                np.array([(0, 0), (0.2, 0), (0.2, 0.3), (0, 0.3)])
                + (-0.34 + 0.24 * column, 0.3 + 0.34 * row),
                (150, 172, 180),
            )
    _rectangle(brush, -0.5, 2.02, 1.0, 0.2, (236, 230, 220))
    brush.polygon([(-0.5, 2.3), (0.5, 2.3), (0.36, 2.48), (-0.36, 2.48)], red)


PROPS: dict[str, Callable[[Brush, np.random.Generator], None]] = {
    "tree": _tree,
    "lamp": _lamp,
    "column": _column,
    "kiosk": _kiosk,
    "bench": _bench,
    "planter": _planter,
    "phone": _phone,
}


def cast_shadow(
    frame: NDArray[np.float32], sprite: Sprite, foot: tuple[float, float], sun: float, strength: float
) -> None:
    """Darken a frame in place where the sprite casts its shadow: its outline, sheared and flattened."""
    rows, columns = sprite.pixels.shape[:2]
    above = foot[1] - sprite.top  # pixels from the sprite's top to the foot
    shear, squash = 0.62 * sun, 0.24
    reach = int(abs(shear) * above) + 3
    left = sprite.left - (reach if sun > 0 else 0)
    top = int(foot[1] - squash * above) - 3
    # A point dy above the foot moves by -shear * dy along x and rises by squash * dy only.
    matrix = np.array(
        [[1, shear, sprite.left - left - shear * above], [0, squash, foot[1] - top - squash * above]]
    )
    opacity = np.ascontiguousarray(sprite.pixels[:, :, 3])
    flat = cv2.warpAffine(opacity, matrix, (columns + reach, int(squash * rows) + 8), flags=cv2.INTER_LINEAR)
    flat = flat.astype(np.float32, copy=False)[:, :, None]
    there, part = window(Sprite(flat, left, top), frame.shape[:2])
    frame[there] *= 1 - strength * flat[part]
