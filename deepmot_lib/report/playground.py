"""Figures with sliders: interactive in JupyterLab and VS Code, static with the initial values elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..boxes import centers, from_centers, sizes
from ..distance import box_distance, center_distance, jaccard_distance
from ..experiments.gradients import Frame, SoftMatcher, forces
from . import plots

#: A slider's (smallest, largest, initial) value, or the choices of a menu, the initial one first.
Control: TypeAlias = tuple[float, float, float] | list[str]


def live() -> bool:
    """Return whether the kernel has a frontend; papermill, nbconvert and pytest start kernels without one."""
    return "JPY_SESSION_NAME" in os.environ or "__vsc_ipynb_file__" in vars(sys.modules["__main__"])


def explore(draw: Callable[..., Figure], **controls: Control) -> None:
    """Show ``draw(**values)`` with a widget for each control, or static without a frontend or ipywidgets.

    Args:
        draw: Draws the figure from the values of the controls.
        controls: Sliders and menus by argument of ``draw``.
    """
    first = {name: control[0 if isinstance(control, list) else 2] for name, control in controls.items()}
    try:
        import ipywidgets
        from IPython.display import display
    except ImportError:
        ipywidgets = None
    if ipywidgets is None or not live():
        _show(draw(**first))
        return
    widgets = {}
    for name, control in controls.items():
        style: dict[str, Any] = {"description": name.replace("_", " "), "style": {"description_width": "7em"}}
        if isinstance(control, list):
            widgets[name] = ipywidgets.Dropdown(options=control, **style)
        else:
            low, high, value = control
            widgets[name] = ipywidgets.FloatSlider(
                min=low, max=high, value=value, step=(high - low) / 100, readout_format=".3g", **style
            )
    figure = ipywidgets.interactive_output(lambda **values: _show(draw(**values)), widgets)
    display(
        ipywidgets.VBox([ipywidgets.Box(list(widgets.values()), layout={"flex_flow": "row wrap"}), figure])
    )


def _show(figure: Figure) -> None:
    """Show a figure and close it."""
    plt.show()
    plt.close(figure)


def rivals(
    matcher: SoftMatcher, image_size: tuple[int, int], x: float, y: float, width: float, height: float
) -> Figure:
    """Plot a movable prediction and a fixed one that compete for an object.

    Shows the distances of the first with their forces, the soft assignment of both and the soft counts.

    Args:
        matcher: Maps distances ``(1, N, M)`` to a soft assignment of that shape.
        image_size: (height, width) [px].
        x: Horizontal center of the movable prediction [px].
        y: Vertical center [px].
        width: Its width [px].
        height: Its height [px].

    Returns:
        The figure.
    """
    middle = torch.tensor([[image_size[1] / 2, image_size[0] / 2]])
    target = from_centers(middle, torch.tensor([[60.0, 150.0]]))
    rival = target + torch.tensor([35.0, 10, 35, 10])
    box = from_centers(torch.tensor([[x, y]]), torch.tensor([[width, height]]))
    distances: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "Jaccard J": jaccard_distance,
        "center f": lambda a, b: center_distance(a, b, image_size),
        "mean d (Eq. 3)": lambda a, b: box_distance(a, b, image_size),
    }
    values, pulls = {}, {}
    for name, function in distances.items():
        moving = box.clone().requires_grad_()
        value = function(moving, target).squeeze()
        values[name], pulls[name] = value.item(), -torch.autograd.grad(value, moving)[0]
    result = forces([Frame(torch.cat([box, rival]), [1, 2], target, [1])], matcher, image_size)
    assigned = dict(zip(("Ã, yours", "Ã, rival"), result.soft[:, 0].tolist(), strict=True))
    counts = {"FP": result.terms.fp.item(), "FN": result.terms.fn.item()}
    return plots.rivals(
        box.numpy(), rival.numpy(), target.numpy(), image_size, values, pulls, assigned | counts
    )


def clip(
    clips: Mapping[str, Sequence[Frame]],
    matcher: SoftMatcher,
    image_size: tuple[int, int],
    case: str,
    track: str,
    right: float,
    down: float,
    grow: float,
) -> Figure:
    """Plot a clip with one track of its last frame moved and scaled; see ``plots.clip``.

    Args:
        clips: Clips by name.
        matcher: Maps distances ``(1, N, M)`` to a soft assignment of that shape.
        image_size: (height, width) [px].
        case: Name of the clip.
        track: Number of the track, from "1"; the last one if the clip has fewer.
        right: How far the track is moved to the right [px].
        down: How far it is moved down [px].
        grow: Factor of its size.

    Returns:
        The figure.
    """
    *earlier, last = clips[case]
    row = min(int(track), len(last.track_ids)) - 1
    boxes = last.predictions.clone()
    center = centers(boxes[row]) + torch.tensor([right, down])
    boxes[row] = from_centers(center, grow * sizes(boxes[row]))
    frames = [*earlier, last._replace(predictions=boxes)]
    return plots.clip(frames[-1], forces(frames, matcher, image_size), image_size, case)
