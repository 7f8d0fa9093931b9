"""What a roll-out remembers of its clip: tensors of changing sizes, which a checkpoint keeps like weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..identities import FrameIds
from ..soft_hota import HOTAFrame


class AnySize(nn.Module):
    """A module whose buffers take those of a checkpoint, whatever their number of rows."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name, here in dict(self.named_buffers(recurse=False)).items():
            there = state_dict.get(prefix + name, here)
            self.register_buffer(name, here.new_empty(there.shape, dtype=there.dtype))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class ClipHistory(AnySize):
    """The frames of a clip so far, each with a track and an object at least, as HOTA takes them.

    Attributes:
        pairs: (P, 3) of all pairs of a frame, row by row: number of the frame, track, object.
        values: (P, 2) their overlaps and soft assignments.
    """

    pairs: Tensor
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """Forget all frames."""
        self.register_buffer("pairs", torch.empty(0, 3, dtype=torch.long))
        self.register_buffer("values", torch.empty(0, 2))

    @torch.no_grad()
    def add(self, frame: HOTAFrame) -> None:
        """Remember a frame, without its gradient."""
        device, number = frame.overlap.device, int(self.pairs[-1, 0]) + 1 if len(self.pairs) else 0
        tracks, objects = (torch.as_tensor(ids, device=device) for ids in frame.ids)
        pairs = torch.cartesian_prod(torch.tensor([number], device=device), tracks, objects)
        values = torch.stack([frame.overlap.flatten(), frame.soft.flatten()], dim=1)
        self.register_buffer("pairs", torch.cat([self.pairs.to(device), pairs]))
        self.register_buffer("values", torch.cat([self.values.to(values), values]))

    def frames(self) -> list[HOTAFrame]:
        """Return the frames, in order."""
        sizes = self.pairs[:, 0].unique(return_counts=True)[1].tolist()
        found = []
        for pairs, values in zip(self.pairs.split(sizes), self.values.split(sizes), strict=True):
            objects = int((pairs[:, 1] == pairs[0, 1]).sum())
            ids = FrameIds(pairs[::objects, 1], pairs[:objects, 2])
            overlap, soft = values.unflatten(0, (-1, objects)).unbind(-1)
            found.append(HOTAFrame(overlap, soft, ids))
        return found
