"""Controls around a scene: live in JupyterLab and VS Code, a static picture elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from .scene import Menu, Scene

#: Shown below the picture where nothing moves.
STATIC = "*Static: run this notebook in JupyterLab to move things.*"


def live() -> bool:
    """Return whether the kernel has a frontend; papermill, nbconvert and pytest start kernels without one."""
    return "JPY_SESSION_NAME" in os.environ or "__vsc_ipynb_file__" in vars(sys.modules["__main__"])


def explore(scene: Scene) -> None:
    """Show a scene with its controls, or static without a frontend or ipywidgets.

    Args:
        scene: The scene.
    """
    from IPython.display import Image, Markdown, display

    try:
        import ipywidgets
    except ImportError:
        ipywidgets = None
    if ipywidgets is None or not live():
        display(Image(scene.png(), alt=type(scene).__doc__), Markdown(STATIC))
    else:
        display(_controls(scene, ipywidgets))


def _controls(scene: Scene, widgets: Any) -> Any:
    """Build the widgets of a scene; ``widgets`` is the module."""
    shown = {name: _widget(scene, name, widgets) for name in scene.controls}
    picture = widgets.Image(value=scene.png(), format="png", layout={"max_width": "100%"})
    following = False  # set while the controls follow the scene instead of the hand

    def refresh() -> None:
        nonlocal following
        following = True
        for name, value in scene.values.items():
            shown[name].value = value
        following = False
        picture.value = scene.png()

    def moved(_: object) -> None:
        if not following:
            scene.show(**{name: widget.value for name, widget in shown.items()})
            refresh()

    def button(name: str, action: Callable[[], None]) -> Any:
        def clicked(_: object) -> None:
            action()
            refresh()

        pressed = widgets.Button(description=name, layout={"width": "auto"})
        pressed.on_click(clicked)
        return pressed

    for widget in shown.values():
        widget.observe(moved, "value")
    menus = [shown[name] for name, control in scene.controls.items() if isinstance(control, Menu)]
    sliders = [shown[name] for name, control in scene.controls.items() if not isinstance(control, Menu)]
    buttons = [button(name, partial(scene.press, name)) for name in scene.buttons]
    buttons.append(button("reset", scene.reset))
    row = {"flex_flow": "row wrap", "width": "100%"}
    rows = [widgets.Box([*menus, *buttons], layout=row), widgets.Box(sliders, layout=row), picture]
    return widgets.VBox(rows)


def _widget(scene: Scene, name: str, widgets: Any) -> Any:
    """Build the widget of a control."""
    control, label = scene.controls[name], name.replace("_", " ")
    if isinstance(control, Menu):
        style = {"description_width": "initial"}
        layout = {"width": "auto"}
        return widgets.Dropdown(options=control.choices, description=label, style=style, layout=layout)
    return widgets.FloatSlider(
        min=control.low,
        max=control.high,
        step=control.step,
        value=scene.values[name],
        description=f"{label} [{control.unit}]" if control.unit else label,
        readout_format=".0f" if control.step >= 1 else ".2f",
        style={"description_width": "initial"},
        # As many as fit into one row, each long enough to be set to a pixel.
        layout={"flex": "1 1 280px", "width": "auto", "max_width": "480px"},
    )
