"""Images as the networks take them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


def to_tensor(picture: NDArray[np.uint8]) -> Float[Tensor, "3 height width"]:
    """Convert an image (height, width, 3) to the input of a tracker, (3, height, width) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float() / 255
