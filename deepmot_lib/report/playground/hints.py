"""What is worth trying in the playground of notebook 06, as moves that can be followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from ...experiments.gradients import Frame, SoftMatcher, count_errors
from .clip import ClipScene


class Hint(NamedTuple):
    """Moves, and what they show.

    Attributes:
        moves: One after the other: controls to set, or a button to press.
        see: What is to be seen then.
    """

    moves: Sequence[Mapping[str, float | str] | str]
    see: str


HINTS = {
    "undo the switch": Hint(
        [{"case": "IDS"}, {"right": -54.0}, {"track": "2"}, {"right": 54.0}],
        "Each track is back on its person: nothing is wrong any more, softly or counted.",
    ),
    "undo half of it": Hint(
        [{"case": "IDS"}, {"right": -48.0}],
        "Two tracks are on object 1, none on object 2: counted, that is a false positive and a miss. The "
        "network gives object 1 to both (two dark entries in a column), so it sees a miss and no false "
        "positive. No one-to-one assignment has such counts; nothing forces a soft one to be one-to-one.",
    ),
    "the same by another matcher": Hint(
        [{"case": "IDS", "matcher": "min_sum"}, {"right": -48.0}],
        "It does assign one to one, but without MOTA's gate: it gives object 2 to track 2, far away as it "
        "is. The soft counts know no error here.",
    ),
    "a rival": Hint(
        [{"case": "FP"}, {"right": -34.0}],
        "The false track stands on object 2 beside track 3. The network takes both, and hardly sees a false "
        "positive where MOTA counts one.",
    ),
    "neither here nor there": Hint(
        [{"case": "FN"}, {"track": "2"}, {"right": 20.0}],
        "Between two objects a track is on neither: a false positive and two misses, softly and counted.",
    ),
    "take the other one": Hint(
        [{"case": "FN"}, {"track": "2"}, {"right": 45.0}],
        "The miss is as large as before, only of another object: the counts do not care which one it is.",
    ),
    "ten steps": Hint(
        [{"case": "IDS"}, "ten gradient steps", "ten gradient steps"],
        "The loss falls, since boxes come closer to the objects that they are on. The switch stays: it would "
        "have to grow worse first.",
    ),
    "too sure": Hint(
        [{"case": "IDS", "scale": "100"}],
        "The counts are right, and the arrows of FP, FN and IDS gray: too little to follow.",
    ),
}


def in_words(hint: Hint) -> str:
    """Return the moves of a hint as text."""
    moves = []
    for move in hint.moves:
        if isinstance(move, str):
            moves.append(f"press *{move}*")
        else:
            moves += [
                f"{name} `{value:g}`" if isinstance(value, float) else f"{name} `{value}`"
                for name, value in move.items()
            ]
    return ", ".join(moves)


def follow(scene: ClipScene, hint: Hint) -> None:
    """Make the moves of a hint, from the initial values on."""
    scene.reset()
    for move in hint.moves:
        if isinstance(move, str):
            scene.press(move)
        else:
            scene.show(**move)


def try_out(
    clips: Mapping[str, Sequence[Frame]], matchers: Mapping[str, SoftMatcher], image_size: tuple[int, int]
) -> pd.DataFrame:
    """Follow all hints; return the soft and the counted errors, one row per hint."""
    scene, rows = ClipScene(clips, matchers, image_size), {}
    for name, hint in HINTS.items():
        follow(scene, hint)
        terms, counted = scene.result().terms, count_errors(scene.clip(), image_size)
        soft = {f"soft {key}": round(abs(getattr(terms, key.lower()).item()), 2) for key in counted}
        rows[name] = {**soft, **{f"counted {key}": value for key, value in counted.items()}}
    return pd.DataFrame.from_dict(rows, orient="index")
