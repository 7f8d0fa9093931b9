"""A figure that follows controls, without the controls: it is drawn anew into the same axes at each move."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, TypeAlias, cast

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


class Slider(NamedTuple):
    """A range of numbers.

    Attributes:
        low: The smallest.
        high: The largest.
        value: The initial one.
        step: The distance between two.
        unit: Of all of them.
    """

    low: float
    high: float
    value: float
    step: float
    unit: str = ""


class Menu(NamedTuple):
    """A choice of texts, the initial one first."""

    choices: tuple[str, ...]


#: A control of a scene.
Control: TypeAlias = Slider | Menu
#: The values of controls, by name: numbers of sliders, texts of menus.
Values: TypeAlias = Mapping[str, float | str]


class Scene(ABC):
    """A figure that follows controls.

    A new figure for every move would lay out its axes anew, jump, and take half a second. Here titles, ticks
    and what else stays are drawn once and kept as a picture, on which the rest is drawn at each move.

    Attributes:
        controls: The controls, by name.
        buttons: What can be pressed, besides "reset".
        figure: The figure.
        values: What the controls are to show.
    """

    buttons: ClassVar[tuple[str, ...]] = ()

    def __init__(self, controls: Mapping[str, Control], figure: Figure) -> None:
        self.controls, self.figure = controls, figure
        figure.set_layout_engine("none")
        self.canvas = FigureCanvasAgg(figure)
        self.values: dict[str, float | str] = {}
        self.reset()

    def reset(self) -> None:
        """Go back to the initial values."""
        self.values = {
            name: control.choices[0] if isinstance(control, Menu) else control.value
            for name, control in self.controls.items()
        }
        self.restart()

    def show(self, **values: float | str) -> None:
        """Follow the controls; afterwards ``values`` tells what they are to show.

        Args:
            values: New values of some controls, by name.
        """
        changed = {name for name, value in values.items() if self.values[name] != value}
        self.values |= values
        if changed:
            self.change(changed)
            self.redraw()

    def restart(self) -> None:
        """Forget what was done, and lay the figure out anew."""
        for ax in self.figure.axes:
            ax.clear()
        self.lay_out()
        self.canvas.draw()
        self._stays = self.canvas.copy_from_bbox(self.figure.bbox)
        self._kept = {ax: set(_artists(ax)) for ax in self.figure.axes}
        self.redraw()

    def redraw(self) -> None:
        """Draw what moves on what stays."""
        for ax in self.figure.axes:
            for artist in set(_artists(ax)) - self._kept[ax]:
                artist.remove()
        self.draw()
        self.canvas.restore_region(self._stays)
        for ax in self.figure.axes:
            new = [artist for artist in _artists(ax) if artist not in self._kept[ax]]
            for artist in sorted(new, key=lambda artist: artist.zorder):
                ax.draw_artist(artist)

    def press(self, button: str) -> None:
        """Do what one of ``buttons`` says."""
        raise ValueError(f"there is no button {button!r}")

    def change(self, changed: set[str]) -> None:
        """Follow a change of the controls of these names, before the figure is drawn.

        A scene that remembers what was done overrides it; it may set other ``values``.
        """
        return

    @abstractmethod
    def lay_out(self) -> None:
        """Draw what stays where it is into the cleared axes: titles, ticks, limits."""

    @abstractmethod
    def draw(self) -> None:
        """Draw what moves: it may add artists to the axes, but not change the axes themselves."""

    def number(self, name: str) -> float:
        """Return the value of a slider."""
        return cast(float, self.values[name])

    def text(self, name: str) -> str:
        """Return the choice of a menu."""
        return cast(str, self.values[name])

    def png(self) -> bytes:
        """Return the picture."""
        size, buffer = self.canvas.get_width_height(), io.BytesIO()
        picture = Image.frombuffer("RGBA", size, self.canvas.buffer_rgba())
        # A fast compression: it is sent at each move.
        picture.convert("RGB").save(buffer, "png", compress_level=1)
        return buffer.getvalue()


def _artists(ax: Axes) -> list[Artist]:
    """Return what has been added to axes."""
    return [*ax.images, *ax.patches, *ax.collections, *ax.lines, *ax.texts]


def curve_axes(ax: Axes, title: str, most: float, steps: int = 40) -> None:
    """Set up axes for what a descent does to its objective."""
    ax.set(title=title, xlabel="gradient steps", xlim=(0, steps), ylim=(0, most))


def curve(ax: Axes, values: list[float]) -> None:
    """Plot what a descent has done so far, or how to begin one.

    Args:
        ax: Axes by ``curve_axes``.
        values: The objective before the first step and after each; fewer than two are no descent.
    """
    if len(values) < 2:
        ax.text(0.5, 0.5, "press: ten gradient steps", transform=ax.transAxes, ha="center", color="#555555")
        return
    steps = range(max(0, len(values) - 1 - int(ax.get_xlim()[1])), len(values))  # the last ones that fit
    shown = [values[step] for step in steps]
    ax.plot(shown, color="black")
    label = f"{values[0]:.2f} → {values[-1]:.2f} after {len(values) - 1}"
    ax.text(0.97, 0.92, label, transform=ax.transAxes, ha="right")
