"""The playground of notebook 05: entries of a soft assignment, and the soft counts of its errors."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ...assignment import discretize
from ...loss import column_softmax, row_softmax, soft_false_negatives, soft_false_positives, soft_id_switches
from .. import plots
from .scene import Menu, Scene, Slider

#: Soft assignments (rows: tracks, columns: objects) to begin with.
CASES = {
    "all is well": ((0.9, 0.1), (0.1, 0.9)),
    "swapped": ((0.1, 0.9), (0.9, 0.1)),
    "a miss and a false positive": ((0.9, 0.1), (0.1, 0.2)),
    "both claim object 1": ((0.85, 0.1), (0.75, 0.1)),
    "undecided": ((0.5, 0.5), (0.5, 0.5)),
}
#: The previous frame's matches.
BEFORE = {
    "1 on 1, 2 on 2": torch.eye(2),
    "1 on 2, 2 on 1": torch.eye(2).flip(0),
    "1 on 1 alone": torch.tensor([[1.0, 0], [0, 0]]),
}
_ENTRIES = ("a11", "a12", "a21", "a22")
_DELTA = 0.5


def count_thresholds(soft: Tensor, before: Tensor) -> dict[str, int]:
    """Count FP, FN and IDS of a soft assignment ``(N, M)`` by its entries above one half, as integers.

    Args:
        soft: ``(N, M)`` soft assignment.
        before: ``(N, M)`` 0/1 matches of the previous frame.

    Returns:
        The counts, by name.
    """
    above, matches = soft > _DELTA, discretize(soft, "column", _DELTA)
    rows, columns = above.any(1), above.any(0)
    switches = (matches * (1 - before)).sum()
    return {"FP": int((~rows).sum()), "FN": int((~columns).sum()), "IDS": int(switches)}


class CountsScene(Scene):
    """A soft assignment of two tracks to two objects, Fig. 3's matrices, soft counts beside integers."""

    def __init__(self) -> None:
        figure = Figure(figsize=(14, 5.6), dpi=90)
        grid = figure.add_gridspec(
            2, 3, left=0.05, right=0.99, top=0.87, bottom=0.05, hspace=0.5, wspace=0.25
        )
        self.panels = [figure.add_subplot(grid[k // 3, k % 3]) for k in range(6)]
        first = torch.tensor(next(iter(CASES.values()))).flatten().tolist()
        super().__init__(
            {
                "case": Menu(tuple(CASES)),
                "before": Menu(tuple(BEFORE)),
                **{name: Slider(0, 1, value, 0.05) for name, value in zip(_ENTRIES, first, strict=True)},
                "scale": Slider(1, 100, 100, 1),
            },
            figure,
        )

    def change(self, changed: set[str]) -> None:
        """Take over the entries of another case."""
        if "case" in changed:
            entries = torch.tensor(CASES[self.text("case")], dtype=torch.float64).flatten().tolist()
            self.values |= dict(zip(_ENTRIES, entries, strict=True))

    def counts(self, soft: Tensor) -> dict[str, Tensor]:
        """Return the soft counts of a soft assignment ``(2, 2)``, by name."""
        scale = self.number("scale")
        return {
            "FP": soft_false_positives(soft, _DELTA, scale),
            "FN": soft_false_negatives(soft, _DELTA, scale),
            "IDS": soft_id_switches(soft, BEFORE[self.text("before")], _DELTA, scale),
        }

    def soft(self) -> Tensor:
        """Return the soft assignment ``(2, 2)`` of the sliders."""
        return torch.tensor([self.number(name) for name in _ENTRIES], dtype=torch.float64).view(2, 2)

    def lay_out(self) -> None:
        """Draw names and axes."""
        tracks, objects = ["track 1", "track 2"], ["obj. 1", "obj. 2"]
        for ax, rows, columns, title in zip(
            self.panels,
            (tracks, tracks, [*tracks, "δ"], tracks, tracks),
            (objects, [*objects, "δ"], objects, objects, objects),
            (
                "soft assignment Ã",
                "Cʳ, red = FP",
                "Cᶜ, red = FN",
                "Cᶜ x complement of B₋₁ = IDS",
                "pull on Ã",
            ),
            strict=False,
        ):
            plots.matrix_axes(ax, rows, columns, title)
        plots.count_axes(self.panels[5], ("FP", "FN", "IDS"), 2.4)

    def draw(self) -> None:
        """Draw the matrices and the counts."""
        soft, before, scale = self.soft(), BEFORE[self.text("before")], self.number("scale")
        rows, columns = row_softmax(soft, _DELTA, scale), column_softmax(soft, _DELTA, scale)
        last_column = torch.zeros(2, 3, dtype=torch.bool)
        last_column[:, -1] = True
        plots.cells(self.panels[0], soft.numpy())
        plots.cells(self.panels[1], rows.numpy(), last_column.numpy())
        plots.cells(self.panels[2], columns.numpy(), last_column.T.numpy())
        plots.cells(self.panels[3], (columns[:-1] * (1 - before)).numpy())
        entries = soft.clone().requires_grad_()
        counts = self.counts(entries)
        errors = counts["FP"] + counts["FN"] + 2 * counts["IDS"]
        _signed(self.panels[4], -torch.autograd.grad(errors, entries)[0])
        plots.soft_and_counted(
            self.panels[5],
            {name: count.item() for name, count in counts.items()},
            count_thresholds(soft, before),
        )


def _signed(ax: Axes, values: Tensor) -> None:
    """Write numbers of any size and sign into the cells of a matrix, gray where they are negligible."""
    for (n, m), value in zip(
        ((n, m) for n in range(2) for m in range(2)), values.flatten().tolist(), strict=True
    ):
        color = "black" if abs(value) >= plots.NEGLIGIBLE else "#999999"
        text = f"{value:+.2f}" if abs(value) >= 0.005 else f"{value:+.0e}"
        ax.text(m, n, text, ha="center", va="center", fontsize=9, color=color)
