"""Rendered pedestrians: an articulated 3D body with clothes, posed by a gait cycle and projected to a sprite.

A body is a skeleton in units of its height, in its own coordinates (left, up, forward). It is rotated by its
heading, limbs become tapered capsules, and they are painted from the farthest to the nearest.
"""
# ruff: noqa: RUF005 -- an array plus a tuple is a sum of vectors here

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from .canvas import RGB, Brush, Sprite

_Choice = TypeVar("_Choice")
#: Joints by name: (x, y) in meters.
Joints: TypeAlias = dict[str, NDArray[Any]]

SHIRTS: list[RGB] = [
    (200, 40, 45), (235, 120, 30), (245, 200, 50), (60, 150, 70), (30, 130, 140), (50, 110, 200),
    (35, 50, 110), (120, 60, 150), (225, 110, 160), (240, 240, 235), (50, 50, 55), (140, 95, 60),
    (150, 200, 220), (170, 190, 90),
]  # fmt: skip
TROUSERS: list[RGB] = [
    (40, 55, 95), (30, 30, 36), (95, 95, 100), (165, 140, 105), (70, 85, 60), (110, 130, 165), (105, 70, 50),
    (200, 195, 185), (120, 40, 50),
]  # fmt: skip
SKIN: list[RGB] = [(244, 208, 177), (232, 186, 148), (200, 150, 110), (150, 102, 70), (98, 66, 48)]
HAIR: list[RGB] = [
    (40, 30, 26),
    (84, 54, 34),
    (140, 96, 52),
    (208, 170, 100),
    (165, 160, 155),
    (130, 60, 35),
    (24, 24, 28),
]
PATTERNS = ["plain", "hoops", "stripes", "checks", "halves", "dots", "open"]
OUTFITS = ["trousers", "trousers", "trousers", "shorts", "skirt", "coat"]
HATS = ["none", "none", "none", "cap", "beanie", "brim"]
BAGS = ["none", "none", "backpack", "handbag"]
HAIRCUTS = ["short", "long", "bun", "bald"]


@dataclass(frozen=True)
class Appearance:
    """A person's appearance; ``height`` in meters, ``build`` the relative width, colors RGB."""

    height: float
    build: float
    skin: RGB
    hair: RGB
    haircut: str
    shirt: RGB
    accent: RGB
    pattern: str
    long_sleeves: bool
    outfit: str
    trousers: RGB
    shoes: RGB
    hat: str
    hat_color: RGB
    bag: str
    bag_color: RGB

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Appearance:
        """Sample an appearance."""

        def pick(choices: Sequence[_Choice]) -> _Choice:
            return choices[int(rng.integers(len(choices)))]

        def dye(palette: Sequence[RGB]) -> RGB:
            color = np.array(pick(palette)) + rng.normal(0, 8, 3)
            red, green, blue = np.clip(color, 12, 248).tolist()
            return red, green, blue

        child = rng.random() < 0.08
        shirt = dye(SHIRTS)
        accent = max(
            (dye(SHIRTS) for _ in range(4)), key=lambda color: np.abs(np.subtract(color, shirt)).sum()
        )
        return cls(
            height=rng.normal(1.28, 0.06) if child else float(np.clip(rng.normal(1.73, 0.09), 1.5, 1.95)),
            build=float(np.clip(rng.normal(1.0, 0.11), 0.82, 1.3)),
            skin=dye(SKIN),
            hair=dye(HAIR),
            haircut=pick(HAIRCUTS),
            shirt=shirt,
            accent=accent,
            pattern=pick(PATTERNS),
            long_sleeves=rng.random() < 0.6,
            outfit=pick(OUTFITS),
            trousers=dye(TROUSERS),
            shoes=dye([(30, 30, 30), (240, 240, 240), (120, 80, 50), (190, 50, 50)]),
            hat=pick(HATS),
            hat_color=dye(SHIRTS),
            bag=pick(BAGS),
            bag_color=dye(SHIRTS + TROUSERS),
        )


def skeleton(phase: float, stride: float) -> dict[str, NDArray[np.float64]]:
    """Pose the skeleton so that the lower foot stands on the ground.

    Args:
        phase: Phase of the gait cycle in radians.
        stride: Length of the steps, from 0 (standing) to 1 (brisk).

    Returns:
        Joints by name, each (3,): left, up, forward, in body heights.
    """
    joints: dict[str, Sequence[float] | NDArray[Any]] = {
        "neck": (0, 0.835, 0.015 * stride),
        "head": (0, 0.925, 0.03 * stride),
        "hips": (0, 0.5, 0),
    }
    for side, sign in (("left", 1), ("right", -1)):
        swing = np.sin(phase if sign > 0 else phase + np.pi)
        lift = max(0.0, np.cos(phase if sign > 0 else phase + np.pi))
        thigh, knee = 0.45 * stride * swing, 0.06 + stride * (0.12 + 0.75 * lift)
        hip = np.array([0.05 * sign, 0.5, 0])
        knee_at = hip + 0.235 * np.array([0, -np.cos(thigh), np.sin(thigh)])
        ankle = knee_at + 0.225 * np.array([0, -np.cos(thigh - knee), np.sin(thigh - knee)])
        tilt = 0.5 * (thigh - knee) * stride
        toe = ankle + 0.075 * np.array([0.15 * sign, np.sin(tilt) * 0.6 - 0.2, np.cos(tilt)])
        upper, bend = -0.42 * stride * swing, 0.12 + 0.35 * stride
        shoulder = np.array([0.118 * sign, 0.8, 0])
        elbow = shoulder + 0.165 * np.array([0.14 * sign, -np.cos(upper), np.sin(upper)])
        hand = elbow + 0.155 * np.array([0.0, -np.cos(upper + bend), np.sin(upper + bend)])
        parts = {"hip": hip, "knee": knee_at, "ankle": ankle, "toe": toe}
        parts |= {"shoulder": shoulder, "elbow": elbow, "hand": hand}
        joints |= {f"{side} {name}": place for name, place in parts.items()}
    ground = min(joints["left ankle"][1], joints["right ankle"][1]) - 0.028
    return {name: np.asarray(place, float) - (0, ground, 0) for name, place in joints.items()}


def draw_person(
    appearance: Appearance,
    foot: tuple[float, float],
    scale: float,
    heading: float,
    phase: float,
    stride: float,
    sun: float,
) -> Sprite:
    """Draw a person as seen by the camera, unoccluded.

    Args:
        appearance: The person's appearance.
        foot: Frame coordinates (x, y) in pixels of the ground point below the body.
        scale: Pixels per meter.
        heading: Direction in radians: 0 to the right, pi / 2 away from the camera.
        phase: Phase of the gait cycle in radians.
        stride: Length of the steps, from 0 (standing) to 1 (brisk).
        sun: -1 for light from the left, 1 from the right.

    Returns:
        The sprite.
    """
    height, build = appearance.height, appearance.build
    brush = Brush((0.55 * height, 1.12 * height, 0.1 * height), scale, foot, sun)
    forward, left = (np.cos(heading), np.sin(heading)), (-np.sin(heading), np.cos(heading))
    flat: Joints = {}
    depth: dict[str, float] = {}
    for name, (aside, up, ahead) in skeleton(phase, stride).items():
        aside *= build
        flat[name] = height * np.array([aside * left[0] + ahead * forward[0], up])
        depth[name] = aside * left[1] + ahead * forward[1]
    unit = height * build

    def limbs(kind: str, sides: Iterable[str]) -> None:
        for side in sides:
            if kind == "leg":
                _leg(brush, appearance, flat, side, unit)
            else:
                _arm(brush, appearance, flat, side, unit)

    far_first = sorted(("left", "right"), key=lambda side: -depth[f"{side} elbow"])
    behind = [side for side in far_first if depth[f"{side} elbow"] > 0.02]
    limbs("arm", behind)
    if appearance.bag == "backpack" and forward[1] <= 0:
        _backpack(brush, appearance, flat, forward, unit)
    limbs("leg", sorted(("left", "right"), key=lambda side: -depth[f"{side} knee"]))
    if appearance.haircut == "long" and forward[1] <= 0:
        radius = 0.064 * np.sqrt(unit * height)
        _mane(brush, appearance, flat["head"], np.array([-forward[0], 0]), radius)
    _torso(brush, appearance, flat, left, forward, unit)
    _head(brush, appearance, flat, forward, unit)
    if appearance.bag == "backpack" and forward[1] > 0:
        _backpack(brush, appearance, flat, forward, unit)
    limbs("arm", [side for side in far_first if side not in behind])
    return brush.sprite()


def _leg(brush: Brush, appearance: Appearance, flat: Joints, side: str, unit: float) -> None:
    hip, knee, ankle, toe = (flat[f"{side} {name}"] for name in ("hip", "knee", "ankle", "toe"))
    bare = appearance.outfit in ("shorts", "skirt")
    brush.capsule(ankle, toe, 0.024 * unit, 0.018 * unit, appearance.shoes)
    brush.capsule(knee, ankle, 0.036 * unit, 0.026 * unit, appearance.skin if bare else appearance.trousers)
    brush.capsule(hip, knee, 0.055 * unit, 0.039 * unit, appearance.trousers)


def _arm(brush: Brush, appearance: Appearance, flat: Joints, side: str, unit: float) -> None:
    shoulder, elbow, hand = (flat[f"{side} {name}"] for name in ("shoulder", "elbow", "hand"))
    sleeve = appearance.shirt if appearance.outfit != "coat" else appearance.bag_color
    if appearance.bag == "handbag" and side == "left":
        brush.capsule(
            hand - (0, 0.05 * unit), hand - (0, 0.11 * unit), 0.035 * unit, 0.06 * unit, appearance.bag_color
        )
    brush.disc(hand, 0.022 * unit, appearance.skin)
    brush.capsule(
        elbow, hand, 0.026 * unit, 0.02 * unit, sleeve if appearance.long_sleeves else appearance.skin
    )
    brush.capsule(shoulder, elbow, 0.035 * unit, 0.028 * unit, sleeve)


def _backpack(
    brush: Brush, appearance: Appearance, flat: Joints, forward: tuple[float, float], unit: float
) -> None:
    shift = np.array([-0.1 * forward[0], 0]) * unit
    top, bottom = flat["neck"] + shift - (0, 0.09 * unit), flat["hips"] + shift + (0, 0.1 * unit)
    brush.capsule(top, bottom, 0.062 * unit, 0.075 * unit, appearance.bag_color)
    brush.capsule(
        bottom, bottom + (0, 0.03 * unit), 0.045 * unit, 0.045 * unit, np.multiply(appearance.bag_color, 0.7)
    )


def _torso(
    brush: Brush,
    appearance: Appearance,
    flat: Joints,
    left: tuple[float, float],
    forward: tuple[float, float],
    unit: float,
) -> None:
    """Draw the trunk, wide from the front and narrow from the side, and a skirt or coat below it."""
    wide, deep = abs(left[0]), abs(forward[0])
    chest = (0.105 * wide + 0.066 * deep) * unit
    waist = (0.082 * wide + 0.06 * deep) * unit
    hips = (0.09 * wide + 0.068 * deep) * unit
    neck, pelvis = flat["neck"], flat["hips"]
    middle = (neck + pelvis) / 2
    outline = np.array(
        [
            neck + (-0.035 * unit, 0.01 * unit), neck + (-chest, -0.035 * unit), middle + (-waist, 0),
            pelvis + (-hips, -0.035 * unit), pelvis + (hips, -0.035 * unit), middle + (waist, 0),
            neck + (chest, -0.035 * unit), neck + (0.035 * unit, 0.01 * unit),
        ]
    )  # fmt: skip
    brush.capsule(neck, flat["head"], 0.032 * unit, 0.032 * unit, np.multiply(appearance.skin, 0.85))
    knees = (flat["left knee"] + flat["right knee"]) / 2
    spread = hips + 0.5 * abs(flat["left knee"][0] - flat["right knee"][0])
    if appearance.outfit in ("skirt", "coat"):
        color = appearance.trousers if appearance.outfit == "skirt" else appearance.bag_color
        hem = knees + (0, 0.04 * unit)
        corners = [
            pelvis + (-waist, 0.06 * unit),
            pelvis + (waist, 0.06 * unit),
            hem + (spread, 0),
            hem + (-spread, 0),
        ]
        brush.polygon(corners, np.multiply(color, 0.9))
    _cloth(brush, appearance, outline, neck, pelvis, forward, unit)
    brush.polygon(
        outline[[3, 4]].repeat(2, 0) + [(0, 0), (0, 0.022 * unit), (0, 0.022 * unit), (0, 0)], (40, 32, 30)
    )


def _cloth(
    brush: Brush,
    appearance: Appearance,
    outline: NDArray[Any],
    neck: NDArray[Any],
    pelvis: NDArray[Any],
    forward: tuple[float, float],
    unit: float,
) -> None:
    """Fill the trunk with the shirt's pattern, shaded from side to side."""
    main = np.array(appearance.bag_color if appearance.outfit == "coat" else appearance.shirt)

    def paint(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        x, y = (x - neck[0]) / unit, y / unit
        second = {
            "plain": lambda: x > np.inf,
            "hoops": lambda: np.floor(y / 0.035) % 2 == 0,
            "stripes": lambda: np.floor(x / 0.028) % 2 == 0,
            "checks": lambda: (np.floor(x / 0.05) + np.floor(y / 0.05)) % 2 == 0,
            "halves": lambda: y > (neck[1] + pelvis[1]) / 2 / unit,
            "dots": lambda: ((x / 0.055) % 1 - 0.5) ** 2 + ((y / 0.055) % 1 - 0.5) ** 2 < 0.08,
            "open": lambda: np.abs(x - 0.06 * forward[0]) < 0.03 * max(0.0, -forward[1]),
        }[appearance.pattern]()
        across = x / (np.abs(outline[:, 0] - neck[0]).max() / unit)
        shade = 0.92 + 0.14 * across * brush.sun - 0.1 * across**2
        return np.where(second[:, None], np.array(appearance.accent), main) * shade[:, None]

    brush.fill(outline, paint)


def _mane(
    brush: Brush, appearance: Appearance, center: NDArray[Any], back: NDArray[Any], radius: float
) -> None:
    start, end = center + back * 0.3 * radius, center + back * 0.6 * radius - (0, 1.8 * radius)
    brush.capsule(start, end, 1.05 * radius, 0.75 * radius, appearance.hair)


def _head(
    brush: Brush, appearance: Appearance, flat: Joints, forward: tuple[float, float], unit: float
) -> None:
    center = flat["head"]
    radius = 0.064 * np.sqrt(unit * appearance.height)
    hair = appearance.skin if appearance.haircut == "bald" else appearance.hair
    back = np.array([-forward[0], 0])
    if appearance.haircut == "long" and forward[1] > 0:
        _mane(brush, appearance, center, back, radius)
    if appearance.haircut == "bun":
        brush.disc(center + back * 1.0 * radius + (0, 0.65 * radius), 0.48 * radius, hair)
    brush.capsule(center + (0, 0.08 * radius), center - (0, 0.2 * radius), 1.04 * radius, 0.86 * radius, hair)
    if forward[1] < 0.55:  # the face shows unless the person walks away
        face = center + (forward[0] * 0.3 * radius, -0.2 * radius)
        brush.capsule(face, face - (0, 0.2 * radius), 0.84 * radius, 0.7 * radius, appearance.skin)
        for side in (-0.33, 0.33) if forward[1] < -0.2 else (0.3 * np.sign(forward[0]),):
            eye = face + ((side - 0.35 * side * abs(forward[0]) + 0.3 * forward[0]) * radius, 0.05 * radius)
            brush.dot(eye, 0.1 * radius, (30, 24, 24))
    if appearance.hat == "none":
        return
    arc = np.linspace(0, np.pi, 14)
    crown = center + (0, 0.18 * radius) + 1.1 * radius * np.stack([np.cos(arc), np.sin(arc)], 1)
    brush.polygon(crown, np.multiply(appearance.hat_color, 0.85))
    brush.polygon(
        (crown - center) * 0.8 + center + (brush.sun * 0.1 * radius, 0.1 * radius), appearance.hat_color
    )
    rim = center + (0, 0.2 * radius)
    if appearance.hat == "cap":
        brush.capsule(
            rim,
            rim + (forward[0] * 1.5 * radius, -0.08 * radius),
            0.16 * radius,
            0.1 * radius,
            appearance.hat_color,
        )
    elif appearance.hat == "brim":
        brush.capsule(
            rim - (1.5 * radius, 0),
            rim + (1.5 * radius, 0),
            0.14 * radius,
            0.14 * radius,
            appearance.hat_color,
        )
    else:
        brush.capsule(
            rim - (0.95 * radius, 0), rim + (0.95 * radius, 0), 0.2 * radius, 0.2 * radius, appearance.accent
        )
        brush.disc(center + (0, 1.35 * radius), 0.26 * radius, appearance.accent)
