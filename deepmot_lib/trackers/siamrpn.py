"""SiamRPN (Li et al.: High Performance Visual Tracking with Siamese Region Proposal Network, CVPR 2018)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, smooth_l1_loss

from ..boxes import centers, from_centers
from ..distance import jaccard_distance
from ..numerics import full_precision
from .anchors import box_sizes, decode, encode, grid
from .crops import contains, crop, squares, to_crop, to_image
from .tracker import Propagation, Tracker

_STRIDE = 8  # of the tower: one convolution and two poolings of stride 2
#: Anchors of a larger IoU with the target are positive, of a smaller one negative; between, they are ignored.
_POSITIVE, _NEGATIVE = 0.5, 0.3
_BETA = 0.1  # where smooth L1 turns from quadratic to linear, in anchor sizes
_BOX_WEIGHT = 5.0  # of the regression in the loss


class SiamRPN(Tracker):
    """Propose a box at each anchor of a search crop by correlation with the template, and take the best.

    An AlexNet-style tower without padding maps template crop and search crop, at the same scale, to features.
    Up-channel cross-correlation, of all tracks in one grouped convolution, predicts two class logits and four
    offsets for each anchor; the anchors have the given aspect ratios and the template's scale, and are spaced
    by 8 pixels. The paper's sizes are ``template=127, search=255, kernels=(11, 5, 3, 3, 3), widths=(96, 256,
    384, 384, 256)``.

    In ``eval()`` mode the scores are re-ranked as in the paper: by a penalty on changes of shape and size and
    by a cosine window; the size is smoothed over time. In training the anchor with the highest score is
    taken. Either way the box is differentiable through the offsets of that anchor, its score through the
    logits.

    Args:
        template: Side of the template crop [px].
        search: Side of the search crop [px].
        kernels: Kernel sizes of the tower's convolutions.
        widths: Channels of the tower's convolutions.
        context: Side of the template crop, in longer sides of the box.
        ratios: Aspect ratios of the anchors, height over width.
        window: Weight of the cosine window, in [0, 1].
        penalty: Strength of the penalty on changes of shape and size.
        smoothing: Rate at which the size is updated, times the score, in [0, 1].

    Raises:
        ValueError: The sizes of the crops do not fit the tower.
    """

    anchors: Float[Tensor, "anchors 4"]
    hann: Float[Tensor, " anchors"]

    name = "siamrpn"
    has_memory = True
    score_weight = 10.0  # as in the released code

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
    ) -> None:
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
        pooling = [number for number, layer in enumerate(self.tower) if isinstance(layer, nn.MaxPool2d)]
        self.frozen = pooling[-1] + 1  # layers that ``trained`` leaves out
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
        for parameter in self.box_adjust.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer(
            "anchors", grid(places, _STRIDE / search, template / context / search, ratios), persistent=False
        )
        hann = torch.hann_window(places + 2, periodic=False)[1:-1]
        hann = torch.outer(hann, hann).flatten().repeat(self.count)
        self.register_buffer("hann", hann, persistent=False)

    def encode(self, image: Tensor) -> Tensor:
        """Return the image itself, which crops are cut from."""
        return image

    def init_memory(self, encoded: Tensor, boxes: Tensor) -> Tensor:
        """Encode the templates: features (K, C, h, w)."""
        return self.features(self.template_crops(encoded, boxes))

    def trained(self, training: str = "release") -> Iterator[nn.Parameter]:
        """Yield the parameters that the loss of a clip trains: all but the tower's frozen layers.

        Those up to its last pooling are frozen, as in the released code.
        """
        yield from self.tower[self.frozen :].parameters()
        for branch in (self.class_template, self.class_search, self.box_template, self.box_search):
            yield from branch.parameters()
        yield from self.box_adjust.parameters()

    def propagate(self, encoded: Tensor, boxes: Tensor, memory: Tensor) -> Propagation:
        """Find the tracks, all in one batch, by the best anchor of each search crop."""
        crops, square = self.search_crops(encoded, boxes)
        logits, offsets = self.propose(memory, crops)
        return self._best(logits, offsets, to_crop(boxes.detach(), square), square)

    def propagate_with_score_loss(
        self, encoded: Tensor, boxes: Tensor, memory: Tensor, targets: Tensor
    ) -> tuple[Propagation, Tensor]:
        """Propagate tracks, and compute the cross-entropy of the anchors' classes, as of ``pair_loss``."""
        crops, square = self.search_crops(encoded, boxes)
        logits, offsets = self.propose(memory, crops)
        propagated = self._best(logits, offsets, to_crop(boxes.detach(), square), square)
        target = to_crop(targets, square)
        return propagated, _class_loss(logits, *self._labels(target.nan_to_num(), contains(target)))

    def _best(self, logits: Tensor, offsets: Tensor, before: Tensor, square: Tensor) -> Propagation:
        """Choose the best anchor of each track, whose box (K, 4) was ``before`` in crop coordinates."""
        scores = logits.softmax(dim=-1)[..., 1]
        found = decode(offsets, self.anchors)
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

    def template_crops(
        self, image: Float[Tensor, "3 height width"], boxes: Float[Tensor, "K 4"]
    ) -> Float[Tensor, "K 3 {self.template} {self.template}"]:
        """Crop the templates (K, 3, template, template) around the boxes (K, 4)."""
        return crop(image, squares(boxes.detach(), self.context), self.template)

    def search_crops(
        self, image: Float[Tensor, "3 height width"], boxes: Float[Tensor, "K 4"]
    ) -> tuple[Float[Tensor, "K 3 {self.search} {self.search}"], Float[Tensor, "K 4"]]:
        """Crop the search regions (K, 3, search, search) around the boxes (K, 4).

        Returns:
            The crops, and their regions (K, 4), xyxy [px].
        """
        square = squares(boxes.detach(), self.context * self.search / self.template)
        return crop(image, square, self.search), square

    def features(self, crops: Float[Tensor, "K 3 size size"]) -> Float[Tensor, "K C side side"]:
        """Encode crops (K, 3, size, size) to features (K, C, side, side)."""
        # Channels last: on a CPU poolings and convolutions then take about half the time.
        features: Tensor = self.tower(((crops - 0.45) / 0.25).contiguous(memory_format=torch.channels_last))
        return features

    def propose(
        self,
        memory: Float[Tensor, "K C side side"],
        searches: Float[Tensor, "K 3 {self.search} {self.search}"],
    ) -> tuple[Float[Tensor, "K anchors 2"], Float[Tensor, "K anchors 4"]]:
        """Predict class logits (K, anchors, 2), background and target, and offsets (K, anchors, 4)."""
        field = self.features(searches)
        logits = self._correlate(self.class_search(field), self.class_template(memory))
        offsets = self.box_adjust(self._correlate(self.box_search(field), self.box_template(memory)))
        return full_precision(self._by_anchor(logits, 2)), full_precision(self._by_anchor(offsets, 4))

    def pair_loss(
        self,
        memory: Float[Tensor, "K C side side"],
        searches: Float[Tensor, "K 3 {self.search} {self.search}"],
        before: Float[Tensor, "K 4"],
        target: Float[Tensor, "K 4"],
        present: Bool[Tensor, " K"],
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy of the anchors' classes plus the smooth L1 loss of the offsets.

        Only positive anchors have a target for their offsets.

        Positive and negative anchors have equal weight, each kind averaged over its anchors.

        Args:
            memory: ``(K, C, side, side)`` features of the templates.
            searches: ``(K, 3, search, search)`` search crops.
            before: ``(K, 4)`` the box at the center of the search crop, xyxy in crop coordinates; unused.
            target: ``(K, 4)`` the true box, likewise.
            present: ``(K,)`` whether the target is in the search crop; where not, all anchors are negative.

        Returns:
            The scalar loss.
        """
        logits, offsets = self.propose(memory, searches)
        negative, positive = self._labels(target, present)
        loss = _class_loss(logits, negative, positive)
        if positive.any():
            expected = encode(target.unsqueeze(1), self.anchors)[positive]
            loss = loss + _BOX_WEIGHT * smooth_l1_loss(offsets[positive], expected, beta=_BETA)
        return loss

    def _labels(
        self, target: Float[Tensor, "K 4"], present: Bool[Tensor, " K"]
    ) -> tuple[Bool[Tensor, "K anchors"], Bool[Tensor, "K anchors"]]:
        """Label the anchors: which are negative, which positive."""
        overlap = 1 - jaccard_distance(self.anchors, target).T
        # The best anchor is positive even where none overlaps enough, for boxes of rare shapes.
        best = overlap >= overlap.amax(dim=1, keepdim=True).clamp(min=_NEGATIVE)
        positive = ((overlap > _POSITIVE) | best) & present.unsqueeze(1)
        return ~positive & ((overlap < _NEGATIVE) | ~present.unsqueeze(1)), positive

    def _correlate(
        self, features: Float[Tensor, "K C s s"], kernels: Float[Tensor, "K OC h h"]
    ) -> Float[Tensor, "K O p p"]:
        """Correlate features with each track's own kernels (K, O * C, h, h) in one grouped convolution."""
        tracks, channels, side, _ = features.shape
        if tracks == 0:
            places = side - kernels.shape[-1] + 1
            return features.new_zeros(0, kernels.shape[1] // channels, places, places)
        kernels = kernels.reshape(-1, channels, *kernels.shape[2:])
        merged = features.reshape(1, tracks * channels, side, side)
        response = conv2d(merged, kernels * self.scale, groups=tracks)
        return response.reshape(tracks, -1, *response.shape[2:])

    def _by_anchor(
        self, response: Float[Tensor, "K channels p p"], values: int
    ) -> Float[Tensor, "K anchors {values}"]:
        """Reshape (K, ratios * values, p, p) to (K, anchors, values), in the order of ``anchors``."""
        places = len(self.anchors) // self.count
        return response.reshape(-1, self.count, values, places).transpose(2, 3).flatten(1, 2)


def _class_loss(
    logits: Float[Tensor, "K anchors 2"],
    negative: Bool[Tensor, "K anchors"],
    positive: Bool[Tensor, "K anchors"],
) -> Float[Tensor, ""]:
    """Return the cross-entropy of the classes, negative and positive anchors of equal weight; 0 of none."""
    loss = logits.sum() * 0
    for kind, anchors in enumerate((negative, positive)):
        if anchors.any():
            labels = anchors.new_full((int(anchors.sum()),), kind, dtype=torch.long)
            loss = loss + cross_entropy(logits[anchors], labels) / 2
    return loss


def _change(found: Tensor, before: Tensor) -> Tensor:
    """Return the change of shape times the change of size, each as a ratio of at least 1."""
    width, height = box_sizes(found).unbind(-1)
    width_before, height_before = box_sizes(before).unbind(-1)
    shape = (height / width) / (height_before / width_before)
    size = ((width * height) / (width_before * height_before)).sqrt()
    return torch.maximum(shape, 1 / shape) * torch.maximum(size, 1 / size)


def _smoothed(box: Tensor, before: Tensor, rate: Tensor) -> Tensor:
    """Interpolate the size of boxes (K, 4) from that of ``before`` by ``rate`` (K, 1)."""
    return from_centers(centers(box), rate * box_sizes(box) + (1 - rate) * box_sizes(before))


def _tower(kernels: tuple[int, ...], widths: tuple[int, ...]) -> nn.Sequential:
    """Build the convolutions without padding, the first of stride 2, each of the first two with a pooling.

    The last has no ReLU, so that the correlated features may be negative.
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
    """Return the side of the tower's features of a crop with ``size`` pixels per side."""
    size = (size - kernels[0]) // 2 + 1
    for number, kernel in enumerate(kernels):
        size = size if number == 0 else size - kernel + 1
        size = (size - 3) // 2 + 1 if number < 2 else size
    return size
