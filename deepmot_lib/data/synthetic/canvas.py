"""A canvas in meters for the shapes that people and street furniture are made of, and pasting into a frame.

Sprites have premultiplied alpha: color times opacity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

#: A point (x, y) or an RGB color in 0..255.
Vector: TypeAlias = Sequence[float] | NDArray[Any]
#: A palette's color.
RGB: TypeAlias = tuple[float, float, float]

HALF_CIRCLE = np.exp(1j * np.linspace(-np.pi / 2, np.pi / 2, 9))


@dataclass(frozen=True)
class Sprite:
    """A small image and its position in the frame.

    Attributes:
        pixels: float32 (height, width, 4), premultiplied RGB in 0..255 and opacity in 0..1.
        left: Its left column in the frame.
        top: Its top row in the frame.
    """

    pixels: NDArray[np.float32]
    left: int
    top: int

    def box(self) -> tuple[float, float, float, float]:
        """Return the bounding box x1, y1, x2, y2 of what is at least half opaque, in frame pixels."""
        solid = self.pixels[:, :, 3] >= 0.5
        rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
        return (
            float(self.left + columns[0]),
            float(self.top + rows[0]),
            float(self.left + columns[-1] + 1),
            float(self.top + rows[-1] + 1),
        )

    def area(self) -> int:
        """Count the pixels that are at least half opaque."""
        return int((self.pixels[:, :, 3] >= 0.5).sum())


class Brush:
    """A transparent canvas in meters (x right, y up, from an anchor), supersampled by ``fine``.

    Shapes are queued and painted in order by ``sprite``, so that their outlines are computed at once.
    """

    def __init__(
        self, extent: tuple[float, float, float], scale: float, anchor: tuple[float, float], sun: float
    ) -> None:
        """Create an empty canvas.

        Args:
            extent: Meters to each side of the anchor, above it and below it.
            scale: Frame pixels per meter.
            anchor: Frame coordinates (x, y) of the origin, in pixels.
            sun: -1 for light from the left, 1 from the right.
        """
        side, above, below = extent
        self.fine = 3 if scale < 60 else 2
        self.left, self.top = int(anchor[0] - side * scale) - 1, int(anchor[1] - above * scale) - 1
        width, height = int(2 * side * scale) + 4, int((above + below) * scale) + 4
        self.canvas = np.zeros((height * self.fine, width * self.fine, 4), np.uint8)
        self.scale, self.sun = scale * self.fine, sun
        self.origin = (anchor[0] - self.left) * self.fine, (anchor[1] - self.top) * self.fine
        # (color, None) for the next capsule, (color, points) for a polygon
        self._shapes: list[tuple[Vector, Sequence[Vector] | NDArray[Any] | None]] = []
        self._capsules: list[tuple[float, ...]] = []

    def polygon(self, points: Sequence[Vector] | NDArray[Any], color: Vector) -> None:
        """Add a polygon with corners in meters."""
        self._shapes.append((color, points))

    def capsule(self, start: Vector, end: Vector, radius: float, radius_end: float, color: Vector) -> None:
        """Add a tapered limb with a lit side."""
        (x, y), (x_end, y_end), (red, green, blue) = start, end, color
        self._shapes.append(((red * 0.76, green * 0.76, blue * 0.76), None))
        self._capsules.append((x, y, x_end, y_end, radius, radius_end))
        dx, dy = self.sun * 0.22, 0.12
        lit = (x + dx * radius, y + dy * radius, x_end + dx * radius_end, y_end + dy * radius_end)
        self._shapes.append(((min(red * 1.04, 255), min(green * 1.04, 255), min(blue * 1.04, 255)), None))
        self._capsules.append((*lit, 0.74 * radius, 0.74 * radius_end))

    def disc(self, center: Vector, radius: float, color: Vector) -> None:
        """Add a disc with a lit side."""
        self.capsule(center, (center[0] + 1e-4, center[1]), radius, radius, color)

    def dot(self, center: Vector, radius: float, color: Vector) -> None:
        """Add a disc without shading."""
        self._shapes.append((color, None))
        self._capsules.append((*center, center[0] + 1e-4, center[1], radius, radius))

    def fill(
        self,
        points: Sequence[Vector] | NDArray[Any],
        paint: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    ) -> None:
        """Fill a polygon with ``paint(x, y)``, which returns colors (pixels, 3) for points in meters."""
        self._flush()
        corners = self._pixels(np.asarray(points))
        x, y, width, height = cv2.boundingRect(corners >> 4)
        mask = np.zeros((height + 1, width + 1), np.uint8)
        cv2.fillPoly(mask, [corners - (16 * x, 16 * y)], 1, shift=4)
        rows, columns = np.nonzero(mask)
        rows, columns = rows + y, columns + x
        colors = paint((columns - self.origin[0]) / self.scale, (self.origin[1] - rows) / self.scale)
        self.canvas[rows, columns, :3] = np.clip(colors, 0, 255)
        self.canvas[rows, columns, 3] = 255

    def sprite(self) -> Sprite:
        """Return what was drawn, at the frame's resolution."""
        self._flush()
        height, width = (side // self.fine for side in self.canvas.shape[:2])
        shrunk = cv2.resize(self.canvas, (width, height), interpolation=cv2.INTER_AREA)
        x, y, width, height = cv2.boundingRect(shrunk[:, :, 3])
        pixels = shrunk[y : y + height, x : x + width].astype(np.float32)
        pixels[:, :, 3] /= 255
        return Sprite(pixels, self.left + x, self.top + y)

    def _pixels(self, points: NDArray[Any]) -> NDArray[np.int32]:
        """Convert points (..., 2) in meters to sixteenths of a canvas pixel."""
        return np.round((self.origin + points * (self.scale, -self.scale)) * 16).astype(np.int32)

    def _flush(self) -> None:
        outlines: Iterable[NDArray[np.int32]] = ()
        if self._capsules:
            x, y, x_end, y_end, radius, radius_end = np.array(self._capsules).T[:, :, None]
            start, end = x + 1j * y, x_end + 1j * y_end
            half = HALF_CIRCLE * (end - start) / np.abs(end - start)
            points = np.concatenate([end + radius_end * half, start - radius * half], axis=1)
            outlines = self._pixels(np.stack([points.real, points.imag], axis=-1))
        remaining = iter(outlines)
        for color, polygon in self._shapes:
            corners = next(remaining) if polygon is None else self._pixels(np.asarray(polygon))
            cv2.fillPoly(self.canvas, [corners], (*color, 255), shift=4)
        self._shapes, self._capsules = [], []


def window(
    sprite: Sprite, image_size: tuple[int, ...]
) -> tuple[tuple[slice[int], slice[int]], tuple[slice[int], slice[int]]]:
    """Intersect a sprite with the frame.

    Args:
        sprite: The sprite.
        image_size: (height, width) of the frame in pixels.

    Returns:
        Rows and columns of the intersection in the frame, and the same in the sprite; empty slices where the
        sprite lies outside.
    """
    rows, rows_of_sprite = _overlap(sprite.top, sprite.pixels.shape[0], image_size[0])
    columns, columns_of_sprite = _overlap(sprite.left, sprite.pixels.shape[1], image_size[1])
    return (rows, columns), (rows_of_sprite, columns_of_sprite)


def _overlap(first: int, extent: int, limit: int) -> tuple[slice[int], slice[int]]:
    """Intersect ``first .. first + extent`` with ``0 .. limit``, in the coordinates of each."""
    start, stop = min(max(first, 0), limit), max(min(first + extent, limit), 0)
    stop = max(start, stop)
    return slice(start, stop), slice(start - first, stop - first) if stop > start else slice(0, 0)


def paste(frame: NDArray[np.float32], sprite: Sprite, owners: NDArray[np.int32], owner: int) -> None:
    """Paint a sprite over a frame in place, cut off at the frame's border.

    Args:
        frame: float32 (height, width, 3), RGB in 0..255.
        sprite: The sprite.
        owners: (height, width); set to ``owner`` where the sprite is at least half opaque.
        owner: The sprite's number.
    """
    there, part = window(sprite, owners.shape)
    pixels, view = sprite.pixels[part], frame[there]
    view *= 1 - pixels[:, :, 3:]
    view += pixels[:, :, :3]
    owners[there][pixels[:, :, 3] >= 0.5] = owner
