"""Figures with sliders, for JupyterLab; each scene is a figure that follows controls."""

from .clip import ClipScene
from .counts import CountsScene
from .rivals import RivalsScene
from .widgets import explore

__all__ = ["ClipScene", "CountsScene", "RivalsScene", "explore"]
