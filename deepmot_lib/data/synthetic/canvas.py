"""A canvas in metres for the shapes that people and street furniture are made of, and pasting into a frame.

Sprites are premultiplied: colour times opacity.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

HALF_CIRCLE = np.exp(1j * np.linspace(-np.pi / 2, np.pi / 2, 9))


@dataclass(frozen=True)
class Sprite:
    """A small picture: float32 (h, w, 4), premultiplied RGB in 0..255 and opacity in 0..1; its place in the
    frame."""

    pixels: np.ndarray
    left: int
    top: int

    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of what is at least half opaque, in frame pixels."""
        solid = self.pixels[:, :, 3] >= 0.5
        rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
        return (
            float(self.left + columns[0]),
            float(self.top + rows[0]),
            float(self.left + columns[-1] + 1),
            float(self.top + rows[-1] + 1),
        )

    def area(self) -> int:
        """Pixels that are at least half opaque."""
        return int((self.pixels[:, :, 3] >= 0.5).sum())


class Brush:
    """Draws on a transparent canvas in metres (x right, y up, from an anchor), finer than the frame by
    ``fine``.

    Shapes are collected and painted in order when the picture is asked for: their outlines are then one
    computation.
    """

    def __init__(
        self, extent: tuple[float, float, float], scale: float, anchor: tuple[float, float], sun: float
    ):
        """``extent``: metres to each side, above and below the anchor; ``scale``: frame pixels a metre;
        ``anchor``: frame pixels of the origin; ``sun``: -1 light from the left, 1 from the right."""
        side, above, below = extent
        self.fine = 3 if scale < 60 else 2
        self.left, self.top = int(anchor[0] - side * scale) - 1, int(anchor[1] - above * scale) - 1
        width, height = int(2 * side * scale) + 4, int((above + below) * scale) + 4
        self.canvas = np.zeros((height * self.fine, width * self.fine, 4), np.uint8)
        self.scale, self.sun = scale * self.fine, sun
        self.origin = (anchor[0] - self.left) * self.fine, (anchor[1] - self.top) * self.fine
        self._shapes: list[tuple] = []  # (color, None) for the next capsule, (color, points) for a polygon
        self._capsules: list[tuple] = []

    def polygon(self, points, color) -> None:
        self._shapes.append((color, points))

    def capsule(self, start, end, radius: float, radius_end: float, color) -> None:
        """A tapered limb with a lit side."""
        (x, y), (x_end, y_end), (red, green, blue) = start, end, color
        self._shapes.append(((red * 0.76, green * 0.76, blue * 0.76), None))
        self._capsules.append((x, y, x_end, y_end, radius, radius_end))
        dx, dy = self.sun * 0.22, 0.12
        lit = (x + dx * radius, y + dy * radius, x_end + dx * radius_end, y_end + dy * radius_end)
        self._shapes.append(((min(red * 1.04, 255), min(green * 1.04, 255), min(blue * 1.04, 255)), None))
        self._capsules.append((*lit, 0.74 * radius, 0.74 * radius_end))

    def disc(self, center, radius: float, color) -> None:
        self.capsule(center, (center[0] + 1e-4, center[1]), radius, radius, color)

    def dot(self, center, radius: float, color) -> None:
        """A disc without shading."""
        self._shapes.append((color, None))
        self._capsules.append((*center, center[0] + 1e-4, center[1], radius, radius))

    def fill(self, points, paint) -> None:
        """Fills a polygon with ``paint(x, y)``: colours (pixels, 3) of points in metres."""
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
        """What was drawn, at the frame's resolution."""
        self._flush()
        height, width = (side // self.fine for side in self.canvas.shape[:2])
        pixels = cv2.resize(self.canvas, (width, height), interpolation=cv2.INTER_AREA)
        x, y, width, height = cv2.boundingRect(pixels[:, :, 3])
        pixels = pixels[y : y + height, x : x + width].astype(np.float32)
        pixels[:, :, 3] /= 255
        return Sprite(pixels, self.left + x, self.top + y)

    def _pixels(self, points: np.ndarray) -> np.ndarray:
        """int32, sixteenths of a canvas pixel, of points (..., 2) in metres."""
        return np.round((self.origin + points * (self.scale, -self.scale)) * 16).astype(np.int32)

    def _flush(self) -> None:
        if self._capsules:
            x, y, x_end, y_end, radius, radius_end = np.array(self._capsules).T[:, :, None]
            start, end = x + 1j * y, x_end + 1j * y_end
            half = HALF_CIRCLE * (end - start) / np.abs(end - start)
            outlines = np.concatenate([end + radius_end * half, start - radius * half], axis=1)
            outlines = iter(self._pixels(np.stack([outlines.real, outlines.imag], axis=-1)))
        for color, points in self._shapes:
            corners = next(outlines) if points is None else self._pixels(np.asarray(points))
            cv2.fillPoly(self.canvas, [corners], (*color, 255), shift=4)
        self._shapes, self._capsules = [], []


def window(sprite: Sprite, image_size: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the sprite lies in a frame of (height, width), and which part of the sprite that is: rows and
    columns of each; empty where it lies outside."""
    in_frame, in_sprite = [], []
    for first, extent, limit in zip((sprite.top, sprite.left), sprite.pixels.shape, image_size, strict=False):
        start, stop = min(max(first, 0), limit), max(min(first + extent, limit), 0)
        stop = max(start, stop)
        in_frame.append(slice(start, stop))
        in_sprite.append(slice(start - first, stop - first) if stop > start else slice(0, 0))
    return tuple(in_frame), tuple(in_sprite)


def paste(frame: np.ndarray, sprite: Sprite, owners: np.ndarray, owner: int) -> None:
    """Paints a sprite over ``frame``, float32 (H, W, 3), in place; where it is at least half opaque
    ``owners``, int (H, W), becomes ``owner``. What lies outside the frame is cut off."""
    there, part = window(sprite, owners.shape)
    pixels, view = sprite.pixels[part], frame[there]
    view *= 1 - pixels[:, :, 3:]
    view += pixels[:, :, :3]
    owners[there][pixels[:, :, 3] >= 0.5] = owner
