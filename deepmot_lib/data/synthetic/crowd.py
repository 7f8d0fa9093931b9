"""Trajectories of the rendered people: alone or in pairs, some of whom stop, and a standing group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .people import Appearance
from .props import Prop
from .scenery import Camera

FRAME_RATE = 10  # Hz: the motion between frames is then about as large, relative to the boxes, as in PETS09
NEAR, FAR = 4.6, 15.0  # meters: the distances at which people walk


@dataclass(frozen=True)
class Walker:
    """A person's trajectory: one entry per frame (index 0 is frame 1), in meters and radians.

    Attributes:
        appearance: The person's appearance.
        x: Position to the right.
        z: Distance from the camera.
        heading: Direction: 0 to the right, pi / 2 away from the camera.
        phase: Phase of the gait cycle.
        stride: Length of the steps, from 0 (standing) to 1 (brisk).
        present: Whether the person is in the scene.
    """

    appearance: Appearance
    x: NDArray[np.float64]
    z: NDArray[np.float64]
    heading: NDArray[np.float64]
    phase: NDArray[np.float64]
    stride: NDArray[np.float64]
    present: NDArray[np.bool_]


def crowd(
    camera: Camera,
    half_width: float,
    frames: int,
    props: list[Prop],
    density: int,
    rng: np.random.Generator,
) -> list[Walker]:
    """Sample trajectories: pedestrians alone or in pairs, some of whom stop, and a standing group.

    Args:
        camera: The camera.
        half_width: Half of the width that any frame shows, in pixels.
        frames: Number of frames.
        props: Objects that no trajectory crosses.
        density: Mean number of people in view.
        rng: Random numbers.

    Returns:
        The trajectories.
    """

    def edge(z: float) -> float:
        """Return the distance from the middle, in meters, at which a person is out of view."""
        return half_width * z / camera.focal + 0.6

    obstacles = [(prop.x, prop.z, prop.radius + 0.35) for prop in props]
    walkers: list[Walker] = []
    for _ in range(50):
        z = rng.uniform(6, 12)
        x = rng.uniform(-0.7, 0.7) * edge(z)
        if all(np.hypot(x - ox, z - oz) > reach + 0.7 for ox, oz, reach in obstacles):
            walkers += _standing_group((x, z), frames, rng)
            obstacles.append((x, z, 1.0))
            break
    crossing = 65  # frames that one takes, about
    first = -crossing
    while first < frames:
        for _ in range(40):
            pair = _pair(*_ends(edge, rng), first, frames, rng)
            if all(_clear(walker, obstacles) for walker in pair):
                walkers += pair
                break
        first += max(1, round(len(pair) * crossing / density * rng.uniform(0.5, 1.5)))
    return walkers


def _ends(
    edge: Callable[[float], float], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample start and end (x, z) of a path across the view, uniform in the logarithm of the distance."""
    side = rng.choice([-1, 1])
    z, z_end = NEAR * (FAR / NEAR) ** rng.uniform(0, 1, 2)
    z_end = z + 0.55 * (z_end - z)
    if rng.random() < 0.12:  # leaves past the camera
        z_end = 2.6
        return np.array([side * edge(z), z]), np.array([-side * edge(z_end) * rng.uniform(0.4, 1), z_end])
    return np.array([side * edge(z), z]), np.array([-side * edge(z_end), z_end])


def _pair(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    first: int,
    frames: int,
    rng: np.random.Generator,
) -> list[Walker]:
    """Sample one person, or two side by side, who start at frame ``first``, possibly before the sequence."""
    length = np.hypot(*(end - start))
    along = (end - start) / length
    across = np.array([-along[1], along[0]])
    speed = rng.uniform(1.0, 1.65)
    clock = np.arange(frames) - first
    moving = np.ones(frames)
    if rng.random() < 0.25:
        stop = rng.uniform(0.2, 0.8) * length / speed * FRAME_RATE
        moving = 1 - ((clock > stop) & (clock < stop + rng.uniform(8, 30))).astype(float)
        moving = np.convolve(np.pad(moving, 2, mode="edge"), np.ones(5) / 5, "valid")
    before = max(0, -first) * speed / FRAME_RATE
    way = before + np.cumsum(moving * (clock >= 0)) * speed / FRAME_RATE
    bend, wave = rng.uniform(-0.35, 0.35), rng.uniform(4, 8)
    walkers = []
    for offset in (0.0, 0.62) if rng.random() < 0.3 else (0.0,):
        lateral = offset + bend * np.sin(2 * np.pi * way / wave)
        x, z = start[:, None] + along[:, None] * way + across[:, None] * lateral
        slope = bend * 2 * np.pi / wave * np.cos(2 * np.pi * way / wave)
        heading = np.arctan2(along[1] + slope * across[1], along[0] + slope * across[0])
        appearance = Appearance.sample(rng)
        phase = rng.uniform(0, 2 * np.pi) + way * 2 * np.pi / (0.8 * appearance.height)
        present = (clock >= 0) & (way < length) & (z > 2.2)
        stride = moving * np.clip(speed / 1.35, 0.75, 1.1)
        walkers.append(Walker(appearance, x, z, heading, phase, stride, present))
    return walkers


def _standing_group(center: tuple[float, float], frames: int, rng: np.random.Generator) -> list[Walker]:
    """Sample two or three people who face each other and shift their weight."""
    t = np.arange(frames) / FRAME_RATE
    walkers = []
    count = int(rng.integers(2, 4))
    for turn in rng.uniform(0, 1) + np.arange(count) / count:
        angle = 2 * np.pi * turn
        sway = 0.03 * np.sin(t * rng.uniform(0.5, 1.2) + rng.uniform(0, 6))
        x, z = center[0] + 0.5 * np.cos(angle) + sway, center[1] + 0.5 * np.sin(angle) + np.zeros(frames)
        gesture = rng.uniform(0, 6) + 0.9 * np.sin(t * rng.uniform(1.0, 2.0))
        heading = np.full(frames, angle + np.pi) + 0.25 * np.sin(t * 0.6 + angle)
        walkers.append(
            Walker(
                Appearance.sample(rng), x, z, heading, gesture, np.full(frames, 0.08), np.ones(frames, bool)
            )
        )
    return walkers


def _clear(walker: Walker, obstacles: Sequence[tuple[float, float, float]]) -> bool:
    """Return whether the trajectory is in view and avoids all obstacles (x, z, radius)."""
    if not walker.present.any():
        return False
    x, z = walker.x[walker.present], walker.z[walker.present]
    return all(bool(np.hypot(x - ox, z - oz).min() > reach) for ox, oz, reach in obstacles)
