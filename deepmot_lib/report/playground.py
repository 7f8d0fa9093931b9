"""Figures with sliders: live in JupyterLab and VS Code, drawn once with the sliders' first values
everywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from ..distance import box_distance, center_distance, jaccard_distance
from ..experiments.gradients import Frame, Matcher, forces
from . import plots

#: A slider's (lowest, highest, first) value, or the choices of a menu, the first of them first.
Control = tuple[float, float, float] | list[str]


def live() -> bool:
    """Whether someone sits before this kernel: papermill, nbconvert and pytest start kernels without a
    session."""
    return "JPY_SESSION_NAME" in os.environ or "__vsc_ipynb_file__" in vars(sys.modules["__main__"])


def explore(draw: Callable[..., Figure], **controls: Control) -> None:
    """Shows ``draw(**values)``, with a widget for each control where there is someone to move it.

    Without a frontend, or without ipywidgets, the figure of the first values is shown.
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
        style = {"description": name.replace("_", " "), "style": {"description_width": "7em"}}
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
    plt.show()
    plt.close(figure)


def rivals(
    matcher: Matcher, image_size: tuple[int, int], x: float, y: float, width: float, height: float
) -> Figure:
    """A prediction of that centre and size [px] and a fixed rival, one object between them.

    The distances of the first and the pull of each on it; the soft assignment of both, and the soft counts.
    """
    middle_x, middle_y = image_size[1] / 2, image_size[0] / 2
    target = torch.tensor([[middle_x - 30, middle_y - 75, middle_x + 30, middle_y + 75]])
    rival = target + torch.tensor([35.0, 10, 35, 10])
    box = torch.tensor([[x - width / 2, y - height / 2, x + width / 2, y + height / 2]])
    distances = {
        "Jaccard J": jaccard_distance,
        "centre f": lambda a, b: center_distance(a, b, image_size),
        "mean d (Eq. 3)": lambda a, b: box_distance(a, b, image_size),
    }
    values, pulls = {}, {}
    for name, function in distances.items():
        moving = box.clone().requires_grad_()
        value = function(moving, target).squeeze()
        values[name], pulls[name] = value.item(), -torch.autograd.grad(value, moving)[0]
    result = forces([Frame(torch.cat([box, rival]), [1, 2], target, [1])], matcher, image_size)
    shares = dict(zip(("Ã, yours", "Ã, rival"), result.soft[:, 0].tolist(), strict=True))
    counts = {"FP": result.terms.fp.item(), "FN": result.terms.fn.item()}
    return plots.rivals(
        *(b.numpy() for b in (box, rival, target)), image_size, values, pulls, shares | counts
    )


def clip(
    clips: dict[str, list[Frame]],
    matcher: Matcher,
    image_size: tuple[int, int],
    case: str,
    track: str,
    right: float,
    down: float,
    grow: float,
) -> Figure:
    """A hand-made clip with one track of its last frame moved [px] and scaled: D, soft A, counts and pulls
    of every term."""
    *earlier, last = clips[case]
    row = min(int(track), len(last.track_ids)) - 1  # the last one where the case has fewer
    boxes = last.predictions.clone()
    center, half = (boxes[row, :2] + boxes[row, 2:]) / 2, (boxes[row, 2:] - boxes[row, :2]) / 2
    center = center + torch.tensor([right, down])
    boxes[row] = torch.cat([center - grow * half, center + grow * half])
    frames = [*earlier, last._replace(predictions=boxes)]
    return plots.clip(frames[-1], forces(frames, matcher, image_size), image_size, case)
