"""What a frozen backbone sees of each frame, computed once and kept on disk.

Training a tracker's heads and validating them passes the same frames again and again through a backbone that
does not change. On a CPU that is nineteen twentieths of the time.

Features are rounded to half precision, which halves the files: the pyramid of a frame of 960 x 540 pixels
takes 5.6 MB, so that MOT17's four sequences of ``data/README.md`` (3,075 frames) fit ``MAX_BYTES``.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data import tensor_files

#: Of one folder: 20 GB.
MAX_BYTES = 20 * 10**9


class FeatureStore:
    """What one network's backbone computes of images, by image, in a folder.

    A damaged file is made anew. The folder stops growing at ``max_bytes``: what no longer fits is computed
    each time, which takes longer and gives the same, rounded alike.

    Args:
        folder: Where the features are kept; networks may share it.
        backbone: The network whose weights tell its features from another's.
        settings: What else they depend on: the size that images are resized to, the code.
        max_bytes: The size of the folder's files at most.
    """

    def __init__(
        self, folder: str | Path, backbone: nn.Module, settings: object = None, max_bytes: int = MAX_BYTES
    ) -> None:
        digest = hashlib.blake2b(repr(settings).encode(), digest_size=32)
        for name, value in backbone.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        self.folder, self.owner, self.max_bytes = Path(folder), digest.digest(), max_bytes
        files = self.folder.glob("*.pt") if self.folder.is_dir() else ()
        self.bytes = sum(file.stat().st_size for file in files)

    def get(self, image: Tensor, compute: Callable[[Tensor], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Return what ``compute`` makes of an image, from the folder where it is there.

        Args:
            image: (3, height, width).
            compute: Makes a tuple of tensors, numbers and containers of them.

        Returns:
            That tuple, without gradient, on the image's device; single-precision tensors hold values of half
            precision.
        """
        pixels = image.cpu().contiguous().numpy()
        key = hashlib.blake2b(f"{pixels.shape}".encode(), key=self.owner, digest_size=16)
        key.update(pixels.data)
        file = self.folder / f"{key.hexdigest()}.pt"
        with contextlib.suppress(FileNotFoundError, tensor_files.TensorFileError):
            return _convert(tensor_files.read(file, image.device), torch.float16, torch.float32)
        with torch.no_grad():
            features = _convert(tuple(compute(image)), torch.float32, torch.float16)
        if self.bytes < self.max_bytes:
            tensor_files.write(file, features)
            self.bytes += file.stat().st_size
        return _convert(features, torch.float16, torch.float32)


def _convert(value: Any, before: torch.dtype, after: torch.dtype) -> Any:
    """Convert the tensors of one precision in nested containers; those that would overflow stay."""
    if isinstance(value, dict):
        return {key: _convert(each, before, after) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_convert(each, before, after) for each in value)
    if isinstance(value, Tensor) and value.dtype == before:
        converted = value.to(after)
        overflows = after == torch.float16 and converted.isinf().any() and value.isfinite().all()
        return value if overflows else converted
    return value
