"""The playground of notebook 01: a movable box, what each distance says of it, where it is pulled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ...boxes import centers, from_centers, sizes
from ...distance import box_distance, center_distance, jaccard_distance
from ...experiments.gradients import Frame, SoftMatcher, count_errors, descend, forces
from .. import plots
from .scene import Menu, Scene, Slider, curve, curve_axes

#: Where the moved box can begin: (center x, center y, width, height) [px].
STARTS = {
    "apart": (60.0, 100.0, 50.0, 150.0),
    "beside": (125.0, 110.0, 50.0, 150.0),
    "inside": (160.0, 120.0, 30.0, 60.0),
    "same center": (160.0, 120.0, 90.0, 190.0),
    "on it": (160.0, 120.0, 60.0, 150.0),
}
_PLACE = ("x", "y", "width", "height")
_STEP = 3.0  # how far the fastest coordinate moves in a step of descent [px]


class RivalsScene(Scene):
    """Three distances between a movable prediction and an object, with their pulls; a rival wants it as well.

    Args:
        matchers: By name, what maps distances ``(1, N, M)`` to a soft assignment of that shape.
        image_size: (height, width) [px].
    """

    buttons: ClassVar[tuple[str, ...]] = ("ten gradient steps",)

    def __init__(self, matchers: Mapping[str, SoftMatcher], image_size: tuple[int, int]) -> None:
        self.matchers, self.image_size = matchers, image_size
        self.distances: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "Jaccard J": jaccard_distance,
            "center f": lambda a, b: center_distance(a, b, image_size),
            "mean d (Eq. 3)": lambda a, b: box_distance(a, b, image_size),
        }
        self.object = from_centers(torch.tensor([[160.0, 120.0]]), torch.tensor([[60.0, 150.0]]))
        self.rival = self.object + torch.tensor([15.0, 10, 15, 10])
        figure = Figure(figsize=(14, 5.8), dpi=90)
        grid = figure.add_gridspec(2, 3, left=0.03, right=0.99, top=0.94, bottom=0.1, hspace=0.36)
        self.images = [figure.add_subplot(grid[0, k]) for k in range(3)]
        self.assigned, self.counts, self.curve = (figure.add_subplot(grid[1, k]) for k in range(3))
        across, up = image_size[1], image_size[0]
        super().__init__(
            {
                "start": Menu(tuple(STARTS)),
                "matcher": Menu(tuple(matchers)),
                "descend_on": Menu(tuple(self.distances)[::-1]),
                "x": Slider(0, across, STARTS["apart"][0], 1, "px"),
                "y": Slider(0, up, STARTS["apart"][1], 1, "px"),
                "width": Slider(1, 150, STARTS["apart"][2], 1, "px"),
                "height": Slider(1, 200, STARTS["apart"][3], 1, "px"),
            },
            figure,
        )

    def restart(self) -> None:
        """Put the box where the case has it."""
        place = STARTS[self.text("start")]
        self.values |= dict(zip(_PLACE, place, strict=True))
        self.box = from_centers(torch.tensor([place[:2]]), torch.tensor([place[2:]]))
        self.descent: list[float] = []
        super().restart()

    def change(self, changed: set[str]) -> None:
        """Place the box where the sliders say; another start begins anew."""
        if "start" in changed:
            self.restart()
        if changed & set(_PLACE):
            x, y, width, height = (self.number(name) for name in _PLACE)
            self.box = from_centers(torch.tensor([[x, y]]), torch.tensor([[width, height]]))
        if changed != {"matcher"}:
            self.descent = []

    def press(self, button: str) -> None:
        """Let the box take ten steps down the gradient of the chosen distance; the sliders follow."""
        distance = self.distances[self.text("descend_on")]
        path = descend(lambda box: distance(box, self.object), self.box, 10, _STEP)
        values = distance(path, self.object).flatten().tolist()
        self.descent = [*(self.descent or values[:1]), *values[1:]]
        self.box = path[-1]
        place = torch.cat([centers(self.box), sizes(self.box)], -1)[0].round().tolist()
        for name, value in zip(_PLACE, place, strict=True):
            slider = self.controls[name]
            assert isinstance(slider, Slider)
            self.values[name] = min(max(value, slider.low), slider.high)
        self.redraw()

    def lay_out(self) -> None:
        """Draw the object, the rival and the axes."""
        for ax, name in zip(self.images, self.distances, strict=True):
            plots.image_axes(ax, self.image_size, name)
            plots.boxes(ax, self.object, "object", ["object"])
            plots.boxes(ax, self.rival, "prediction", ["rival"], edgecolor=plots.COLORS["paper"])
        self.assigned.set(title="soft assignment Ã of the object", xlim=(-0.6, 1.6), ylim=(0, 1.15))
        self.assigned.set_xticks([0, 1], ["yours", "rival"])
        plots.count_axes(self.counts, ("FP", "FN"))
        curve_axes(self.curve, "the distance in your descent", 1.1)

    def draw(self) -> None:
        """Draw the box with its pulls, and what becomes of it."""
        for ax, distance in zip(self.images, self.distances.values(), strict=True):
            box = self.box.clone().requires_grad_()
            value = distance(box, self.object).squeeze()
            pull = -torch.autograd.grad(value, box)[0]
            plots.boxes(ax, self.box, "prediction", ["yours"])
            plots.pulls(ax, self.box, pull, "black", 45)
            label = f"{value.item():.3f}" + ("" if pull.any() else ", no gradient")
            color = "black" if pull.any() else "#AA0000"
            ax.text(0.5, -0.03, label, transform=ax.transAxes, ha="center", va="top", color=color)
        frame = Frame(torch.cat([self.box, self.rival]), [1, 2], self.object, [1])
        result = forces([frame], self.matchers[self.text("matcher")], self.image_size)
        colors = (plots.COLORS["prediction"], plots.COLORS["paper"])
        for place, (value, color) in enumerate(zip(result.soft[:, 0].tolist(), colors, strict=True)):
            self.assigned.bar(place, value, color=color, width=0.6)
            self.assigned.text(place, value + 0.02, f"{value:.2f}", ha="center", fontsize=9)
        soft = {"FP": result.terms.fp.item(), "FN": result.terms.fn.item()}
        plots.soft_and_counted(self.counts, soft, count_errors([frame], self.image_size))
        curve(self.curve, self.descent)
