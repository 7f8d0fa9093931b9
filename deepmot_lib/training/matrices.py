"""Distance matrices that a training leaves behind: what its matcher was given, for Table 6."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..data.files import atomic, visible

_MATRICES = 100  # kept of a training, spread over its steps


class MatrixFolder:
    """A folder for about a hundred of a training's matrices.

    Args:
        folder: Where they go; None keeps none.
        steps: The number of the training's steps.
    """

    def __init__(self, folder: Path | None, steps: int) -> None:
        self.folder, self.interval = folder, max(1, steps // _MATRICES)

    def keep(self, step: int, distance: Tensor) -> None:
        """Write a step's matrix (N, M) if it is one of the hundred; drop another training's at the first."""
        if self.folder is None or step % self.interval:
            return
        if step == 0:
            for file in self.folder.glob("*.npy"):
                file.unlink()
        with atomic(self.folder / f"{step:07d}.npy") as temporary:
            np.save(temporary, distance.detach().cpu().numpy())


def collected(folder: str | Path) -> list[NDArray[np.float32]]:
    """Read the distance matrices that trainings have left anywhere below a folder, without hidden files.

    Returns:
        The matrices (N, M) in the order of their paths, without those of 0 rows or columns.

    Raises:
        ValueError: a file is damaged; the message names it.
    """
    found = []
    for matrices in sorted(Path(folder).rglob("matrices")):
        for file in visible(matrices, "*.npy"):
            try:
                matrix = np.load(file)
            except Exception as error:  # a damaged header raises nearly anything
                raise ValueError(f"{file}: damaged, delete it ({error})") from None
            if matrix.size:
                found.append(matrix)
    return found
