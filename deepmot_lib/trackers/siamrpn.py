"""SiamRPN (Li et al.: High Performance Visual Tracking with Siamese Region Proposal Network, CVPR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, smooth_l1_loss

from ..distance import jaccard_distance
from .crops import crop, squares, to_crop, to_image
from .tracker import Propagation, Tracker

_STRIDE = 8  # of the tower: one convolution and two poolings of stride 2
#: Anchors that overlap the target more than this are it, less than that are not; those between do not learn.
_POSITIVE, _NEGATIVE = 0.5, 0.3
_BETA = 0.1  # where smooth L1 turns from a square into a line, in anchor sizes
_BOX_WEIGHT = 5.0  # of the regression in the loss


class SiamRPN(Tracker):
    """Proposes a box at each anchor of a search crop by correlating it with the template; the best one is it.

    A tower of AlexNet's kind without padding maps the template crop (``template`` pixels a side,
    ``context`` times the box's longer side wide) and the search crop (``search`` pixels, as many to the
    image pixel) to features. Up-channel cross-correlation, all tracks in one grouped convolution, gives two
    class logits and four offsets for each of the anchors, of ``ratios`` (height over width) and the
    template's scale, at each place 8 pixels apart. The paper's sizes are ``template=127, search=255,
    kernels=(11, 5, 3, 3, 3), widths=(96, 256, 384, 384, 256)``.

    While testing (``eval()``) the scores are weighed as in the paper: changes of shape and size are
    penalised by ``penalty``, far places by a cosine window of weight ``window``, and the size follows with
    inertia ``smoothing``. In training the best-scoring anchor counts as it is. Either way the box is
    differentiable through the offsets of that anchor, its score through the logits.
    """

    name = "siamrpn"

    def __init__(
        self,
        template: int = 79,
        search: int = 127,
        kernels: tuple[int, ...] = (7, 5, 3),
        widths: tuple[int, ...] = (24, 64, 96),
        context: float = 1.35,
        ratios: tuple[float, ...] = (1.0, 2.0, 3.0),
        window: float = 0.4,
        penalty: float = 0.05,
        smoothing: float = 0.3,
    ):
        super().__init__()
        self.options = {
            "template": template,
            "search": search,
            "kernels": tuple(kernels),
            "widths": tuple(widths),
            "context": context,
            "ratios": tuple(ratios),
            "window": window,
            "penalty": penalty,
            "smoothing": smoothing,
        }
        self.template, self.search, self.context = template, search, context
        self.window, self.penalty, self.smoothing = window, penalty, smoothing
        self.tower = _tower(kernels, widths)
        kernel, side = (_features(kernels, size) - 2 for size in (template, search))
        places = side - kernel + 1
        if kernel < 1 or places < 2 or search - template != _STRIDE * (places - 1):
            raise ValueError(
                f"crops of {template} and {search} pixels do not fit kernels {tuple(kernels)}: both "
                f"must pass the tower, and their difference be a multiple of {_STRIDE}"
            )
        channels, self.count = widths[-1], len(ratios)
        self.scale = (channels * kernel**2) ** -0.5  # of a sum over a template's features
        self.class_template = nn.Conv2d(channels, 2 * self.count * channels, 3)
        self.class_search = nn.Conv2d(channels, channels, 3)
        self.box_template = nn.Conv2d(channels, 4 * self.count * channels, 3)
        self.box_search = nn.Conv2d(channels, channels, 3)
        self.box_adjust = nn.Conv2d(4 * self.count, 4 * self.count, 1)
        # Untrained, the boxes are the anchors: what two random products of features give would be far off.
        nn.init.zeros_(self.box_adjust.weight)
        nn.init.zeros_(self.box_adjust.bias)
        self.register_buffer("anchors", _anchors(template, search, context, ratios, places), persistent=False)
        hann = torch.hann_window(places + 2, periodic=False)[1:-1]
        hann = torch.outer(hann, hann).flatten().repeat(self.count)
        self.register_buffer("hann", hann, persistent=False)

    def encode(self, image: Tensor) -> Tensor:
        return image

    def init_memory(self, encoded: Tensor, boxes: Tensor) -> Tensor:
        """The template's features (K, C, h, w)."""
        return self.features(self.template_crops(encoded, boxes))

    def propagate(self, encoded: Tensor, boxes: Tensor, memory: Tensor) -> Propagation:
        boxes = boxes.detach()
        crops, square = self.search_crops(encoded, boxes)
        logits, offsets = self.propose(memory, crops)
        scores = logits.softmax(dim=-1)[..., 1]
        found = decode(offsets, self.anchors)
        before = to_crop(boxes, square)
        rank = scores.detach()
        if not self.training:
            change = _change(found.detach(), before.unsqueeze(1))
            rank = rank * torch.exp(-self.penalty * (change - 1))
            rank = (1 - self.window) * rank + self.window * self.hann
        best = rank.argmax(dim=1, keepdim=True)
        score = scores.gather(1, best)
        box = found.gather(1, best.unsqueeze(-1).expand(-1, -1, 4)).squeeze(1)
        if not self.training:
            box = _smoothed(box, before, score.detach() * self.smoothing)
        return Propagation(to_image(box, square), score.squeeze(1))

    def template_crops(self, image: Tensor, boxes: Tensor) -> Tensor:
        """(K, 3, template, template) around the boxes (K, 4)."""
        return crop(image, squares(boxes.detach(), self.context), self.template)

    def search_crops(self, image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The crops (K, 3, search, search) around the boxes (K, 4) and their squares (K, 4) in pixels."""
        square = squares(boxes.detach(), self.context * self.search / self.template)
        return crop(image, square, self.search), square

    def features(self, crops: Tensor) -> Tensor:
        """Features (K, C, h, w) of crops (K, 3, height, width)."""
        # Channels last: on a CPU poolings and convolutions then take about half the time.
        return self.tower(((crops - 0.45) / 0.25).contiguous(memory_format=torch.channels_last))

    def propose(self, memory: Tensor, searches: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (K, anchors, 2), of background and target, and offsets (K, anchors, 4)."""
        field = self.features(searches)
        logits = self._correlate(self.class_search(field), self.class_template(memory))
        offsets = self.box_adjust(self._correlate(self.box_search(field), self.box_template(memory)))
        logits, offsets = self._by_anchor(logits, 2), self._by_anchor(offsets, 4)
        return logits, offsets

    def pair_loss(
        self, memory: Tensor, searches: Tensor, before: Tensor, target: Tensor, present: Tensor
    ) -> Tensor:
        """Cross-entropy on the anchors' classes, smooth L1 on the positive ones' offsets, over K pairs.

        ``before`` (unused) and ``target`` (K, 4): the box in the middle of the search crop and the true
        one, in crop coordinates; ``present`` (K,) bool: pairs whose target is in the search crop; in the
        others every anchor is background. Positive and negative anchors weigh the same, each kind averaged
        over its anchors.
        """
        logits, offsets = self.propose(memory, searches)
        overlap = 1 - jaccard_distance(self.anchors, target).T  # (K, anchors)
        # The best anchor counts even where none overlaps enough, or boxes of a rare shape would teach
        # nothing.
        best = overlap >= overlap.amax(dim=1, keepdim=True).clamp(min=_NEGATIVE)
        positive = ((overlap > _POSITIVE) | best) & present.unsqueeze(1)
        negative = ~positive & ((overlap < _NEGATIVE) | ~present.unsqueeze(1))
        loss = logits.sum() * 0
        for kind, anchors in enumerate((negative, positive)):
            if anchors.any():
                wanted = anchors.new_full((int(anchors.sum()),), kind, dtype=torch.long)
                loss = loss + cross_entropy(logits[anchors], wanted) / 2
        if positive.any():
            wanted = encode(target.unsqueeze(1), self.anchors)[positive]
            loss = loss + _BOX_WEIGHT * smooth_l1_loss(offsets[positive], wanted, beta=_BETA)
        return loss

    def _correlate(self, features: Tensor, kernels: Tensor) -> Tensor:
        """(K, C, s, s) with each track's own kernels (K, O * C, h, h), in one convolution: (K, O, p, p)."""
        tracks, channels, side, _ = features.shape
        if tracks == 0:
            places = side - kernels.shape[-1] + 1
            return features.new_zeros(0, kernels.shape[1] // channels, places, places)
        kernels = kernels.reshape(-1, channels, *kernels.shape[2:])
        merged = features.reshape(1, tracks * channels, side, side)
        response = conv2d(merged, kernels * self.scale, groups=tracks)
        return response.reshape(tracks, -1, *response.shape[2:])

    def _by_anchor(self, response: Tensor, values: int) -> Tensor:
        """(K, ratios * values, p, p) as (K, anchors, values), in the order of ``anchors``."""
        places = len(self.anchors) // self.count
        return response.reshape(-1, self.count, values, places).transpose(2, 3).flatten(1, 2)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (..., 4), xyxy, as offsets from anchors: of the centre in sizes, of the size as logarithm."""
    centre, size = _centre_and_size(boxes)
    anchor_centre, anchor_size = _centre_and_size(anchors)
    return torch.cat([(centre - anchor_centre) / anchor_size, (size / anchor_size).log()], dim=-1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Undoes :func:`encode`; no box grows beyond e^2 times its anchor, however wrong the network."""
    anchor_centre, anchor_size = _centre_and_size(anchors)
    centre = anchor_centre + offsets[..., :2] * anchor_size
    half = anchor_size * offsets[..., 2:].clamp(-2, 2).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)


def _change(found: Tensor, before: Tensor) -> Tensor:
    """How much shape and size differ, >= 1: the product of their ratios, each turned to be above 1."""
    width, height = _centre_and_size(found)[1].unbind(-1)
    width_before, height_before = _centre_and_size(before)[1].unbind(-1)
    shape = (height / width) / (height_before / width_before)
    size = ((width * height) / (width_before * height_before)).sqrt()
    return torch.maximum(shape, 1 / shape) * torch.maximum(size, 1 / size)


def _smoothed(box: Tensor, before: Tensor, rate: Tensor) -> Tensor:
    """``box`` (K, 4) with its size taken ``rate`` (K, 1) of the way from that of ``before``."""
    centre, size = _centre_and_size(box)
    half = (rate * size + (1 - rate) * _centre_and_size(before)[1]) / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _tower(kernels: tuple[int, ...], widths: tuple[int, ...]) -> nn.Sequential:
    """Convolutions without padding, the first of stride 2, a pooling after each of the first two.

    The last has no ReLU: what is correlated may be negative.
    """
    layers: list[nn.Module] = []
    for number, (kernel, inputs, outputs) in enumerate(zip(kernels, (3, *widths[:-1]), widths, strict=True)):
        layers.append(nn.Conv2d(inputs, outputs, kernel, stride=2 if number == 0 else 1, bias=False))
        layers.append(nn.GroupNorm(8 if outputs % 8 == 0 else 1, outputs))
        if number < len(kernels) - 1:
            layers.append(nn.ReLU())
        if number < 2:
            layers.append(nn.MaxPool2d(3, stride=2))
    return nn.Sequential(*layers)


def _features(kernels: tuple[int, ...], size: int) -> int:
    """The side of what the tower makes of a crop of ``size`` pixels a side."""
    size = (size - kernels[0]) // 2 + 1
    for number, kernel in enumerate(kernels):
        size = size if number == 0 else size - kernel + 1
        size = (size - 3) // 2 + 1 if number < 2 else size
    return size


def _anchors(template: int, search: int, context: float, ratios: tuple[float, ...], places: int) -> Tensor:
    """(ratios * places * places, 4), xyxy in crop coordinates, row-major within a ratio.

    An anchor's longer side is the template box's, so that only its shape must be found.
    """
    long = template / context / search
    shapes = torch.tensor([(min(1, 1 / ratio), min(1, ratio)) for ratio in ratios]) * long  # width, height
    middle = 0.5 + (torch.arange(places) - (places - 1) / 2) * _STRIDE / search
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    centres = torch.stack([x, y], dim=-1).reshape(1, -1, 2)
    half = shapes.unsqueeze(1) / 2
    return torch.cat([centres - half, centres + half], dim=-1).reshape(-1, 4)
