"""The playground of notebook 06: tracks of a frame are moved, and the loss pulls them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ...boxes import centers, from_centers, sizes
from ...experiments.gradients import Forces, Frame, SoftMatcher, count_errors, forces
from ...loss import DeepMOTLoss
from .. import plots
from .scene import Menu, Scene, Slider, curve, curve_axes

_STILL = (0.0, 0.0, 1.0)
_STEP = 1.0  # how far the fastest coordinate moves in a step of descent [px]


class ClipScene(Scene):
    """Distances, soft assignment, soft and counted errors of a frame, and the pull of each term of the loss.

    Args:
        clips: Clips by name; the tracks of the last frame can be moved.
        matchers: By name, what maps distances ``(1, N, M)`` to a soft assignment of that shape.
        image_size: (height, width) [px].
    """

    buttons: ClassVar[tuple[str, ...]] = ("ten gradient steps",)

    def __init__(
        self,
        clips: Mapping[str, Sequence[Frame]],
        matchers: Mapping[str, SoftMatcher],
        image_size: tuple[int, int],
    ) -> None:
        self.clips, self.matchers, self.image_size = clips, matchers, image_size
        figure = Figure(figsize=(14, 6.2), dpi=90)
        grid = figure.add_gridspec(2, 60, left=0.05, right=0.99, top=0.9, bottom=0.03, hspace=0.4)
        places = ((0, 12), (16, 28), (33, 43), (48, 60))
        self.above = [figure.add_subplot(grid[0, start:stop]) for start, stop in places]
        self.below = [figure.add_subplot(grid[1, 12 * k : 12 * k + 11]) for k in range(5)]
        most = max(len(clip[-1].track_ids) for clip in clips.values())
        super().__init__(
            {
                "case": Menu(tuple(clips)),
                "matcher": Menu(tuple(matchers)),
                "scale": Menu(("10", "100", "1")),
                "track": Menu(tuple(str(k + 1) for k in range(most))),
                "right": Slider(-120, 120, 0, 1, "px"),
                "down": Slider(-80, 80, 0, 1, "px"),
                "size": Slider(0.3, 2, 1, 0.05, "times"),
            },
            figure,
        )

    def restart(self) -> None:
        """Put all tracks of the case back."""
        tracks = len(self._case[-1].track_ids)
        self.moves = [_STILL] * tracks
        self.drift = torch.zeros(tracks, 4)
        self.descent: list[float] = []
        self._hold()
        super().restart()

    def change(self, changed: set[str]) -> None:
        """Move the chosen track; another case starts anew, another track shows where it has been moved."""
        if "case" in changed:
            self.restart()
        elif "track" in changed:
            self._hold()
        else:
            if changed & {"right", "down", "size"}:
                self.moves[self.row] = (self.number("right"), self.number("down"), self.number("size"))
            self.descent = []

    def press(self, button: str) -> None:
        """Let all tracks take ten steps down the gradient of the loss."""
        result = self.result()
        self.descent = self.descent or [result.terms.total.item()]
        for _ in range(10):
            pull = result.pulls["loss"]
            self.drift = self.drift + _STEP * pull / pull.abs().max().clamp(min=1e-12)
            result = self.result()
            self.descent.append(result.terms.total.item())
        self.redraw()

    @property
    def row(self) -> int:
        """The row of the chosen track; the last one where the case has fewer tracks."""
        return min(int(self.text("track")), len(self.moves)) - 1

    def boxes(self) -> Tensor:
        """Return the tracks' boxes ``(N, 4)`` in the last frame, xyxy [px]."""
        start = self._case[-1].predictions
        right, down, size = torch.tensor(self.moves).T
        moved = centers(start) + torch.stack([right, down], -1)
        return from_centers(moved, size[:, None] * sizes(start)) + self.drift

    def clip(self) -> list[Frame]:
        """Return the clip with the tracks where they are now."""
        *earlier, last = self._case
        return [*earlier, last._replace(predictions=self.boxes())]

    def result(self) -> Forces:
        """Return the loss and its gradients."""
        loss = DeepMOTLoss(scale=float(self.text("scale")))
        return forces(self.clip(), self.matchers[self.text("matcher")], self.image_size, loss)

    def lay_out(self) -> None:
        """Draw names, axes and the objects of the case."""
        frame = self._case[-1]
        rows, columns = [f"track {i}" for i in frame.track_ids], [f"obj. {i}" for i in frame.object_ids]
        plots.matrix_axes(self.above[0], rows, columns, "distance D")
        plots.matrix_axes(self.above[1], rows, columns, "soft assignment Ã")
        plots.count_axes(self.above[2], ("FP", "FN", "IDS"))
        curve_axes(self.above[3], "the loss of your descent", 4)
        for ax, name in zip(self.below, ("FP", "FN", "IDS", "dMOTP", "loss"), strict=True):
            plots.pull_axes(ax, frame, self.image_size, name)

    def draw(self) -> None:
        """Draw numbers, tracks and arrows."""
        clip, result = self.clip(), self.result()
        plots.cells(self.above[0], result.distance.numpy())
        plots.cells(self.above[1], result.soft.numpy())
        soft = {name: getattr(result.terms, name.lower()).item() for name in ("FP", "FN", "IDS")}
        plots.soft_and_counted(self.above[2], soft, count_errors(clip, self.image_size))
        curve(self.above[3], self.descent)
        for ax, name in zip(self.below, result.pulls, strict=True):
            plots.pulled(ax, clip[-1], result, self.image_size, name)

    @property
    def _case(self) -> Sequence[Frame]:
        """The chosen clip as it was made."""
        return self.clips[self.text("case")]

    def _hold(self) -> None:
        """Let the sliders show where the chosen track has been moved to."""
        self.values["track"] = str(self.row + 1)
        self.values |= dict(zip(("right", "down", "size"), self.moves[self.row], strict=True))
