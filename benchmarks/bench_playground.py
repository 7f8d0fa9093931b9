"""A move of a playground's slider against laying its figure out anew, which also draws what stays.

python -m benchmarks.bench_playground
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks import Ratio
from deepmot_lib.report.playground.counts import CountsScene

TARGET = 2.0


def seconds(call: Callable[[int], None], times: int = 10) -> float:
    """The shortest CPU time of a call, which gets 0, 1, 2, ..."""
    taken = []
    for k in range(times):
        start = time.process_time()
        call(k)
        taken.append(time.process_time() - start)
    return min(taken)


def run() -> list[Ratio]:
    """How many times faster a move is, its picture included."""
    scene = CountsScene()

    def move(k: int) -> None:
        scene.show(a11=0.05 * (k + 1))
        scene.png()

    def anew(_: int) -> None:
        scene.restart()
        scene.png()

    what = "playground: a figure laid out anew over a move of a slider"
    return [Ratio(what, seconds(anew) / seconds(move), TARGET, higher_is_better=True)]


if __name__ == "__main__":
    print(*run(), sep="\n")
