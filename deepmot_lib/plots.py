"""Every figure of the notebooks and reports: arrays in, a matplotlib ``Figure`` (or a filled ``ax``) out."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

#: One colour for one meaning, in every figure (Okabe and Ito's palette, readable to colour-blind people).
COLORS = {
    "prediction": "#0072B2",
    "object": "#009E73",
    "fp": "#D55E00",
    "fn": "#E69F00",
    "ids": "#CC79A7",
    "paper": "#999999",
    "ours": "#0072B2",
}
