"""The comparison on rendered scenes: its arms, its controls, and what is said of its differences."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from pandas.testing import assert_frame_equal

from deepmot_lib import evaluation, matchers
from deepmot_lib.columns import RESULT_COLUMNS
from deepmot_lib.distance import box_distance
from deepmot_lib.experiments import comparison, comparison_results, sequences
from deepmot_lib.experiments import settings as profiles
from deepmot_lib.experiments.rehearsal import rehearse
from deepmot_lib.experiments.settings import ComparisonSettings
from deepmot_lib.trackers import tracking
from deepmot_lib.trackers.tracktor import Tracktor
from deepmot_lib.training.objectives import GAMMA, hungarian_matches, one_object_loss
from deepmot_lib.training.rollout import Rollout
from deepmot_lib.training.schedules import DetectorSchedule, RolloutSchedule

from .test_clip_loss import BOXES, SIZE, Shifter, clip

TINY = ComparisonSettings(
    scenes=(1, 1, 2),
    frames=8,
    image_size=(96, 128),
    initializations=2,
    pilots=1,
    rates=(1e-4, 1e-3),
    options={"backbone": "tiny", "side": 96},
    detector=DetectorSchedule(steps=2),
    rollout=RolloutSchedule(steps=2, frames=3),
)


@pytest.fixture
def tiny(smoke):
    return dataclasses.replace(smoke, settings=dataclasses.replace(smoke.settings, comparison=TINY))


@pytest.mark.slow
def test_the_whole_comparison_in_small(tiny):
    counts = comparison.complete(tiny)
    arms = {arm.name for arm in comparison.ARMS}
    arms |= {comparison.VANILLA, comparison.NEGATIVE, comparison.POSITIVE}
    assert set(counts["arm"]) == arms and set(counts["seed"]) == {0, 1}
    assert len(counts) == 2 * 2 * len(arms), "a row for each initialization, scene and arm"
    people = sum(len(scene.gt()) for scene in comparison.scenes(tiny, "test"))
    assert (counts.groupby(["seed", "arm"])["boxes"].sum() == people).all()
    table = comparison_results.results(counts)
    assert set(table["arm"]) == arms
    assert set(comparison.chosen_rates(tiny).values()) <= set(TINY.rates)

    # All is there: nothing is trained again, and an arm loads what it was.
    first = comparison.train(tiny, comparison.ARMS[0], 0, 1e-4)
    again = comparison.train(tiny, comparison.ARMS[0], 0, 1e-4)
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    vanilla = comparison.vanilla(tiny, 0)
    moved = {
        name
        for (name, one), other in zip(vanilla.named_parameters(), first.parameters(), strict=True)
        if not torch.equal(one, other)
    }
    assert moved and all("bbox_pred" in name for name in moved), "the last layer alone is trained"


def test_its_trainings_do_not_lie_among_those_of_table_6(tiny):
    assert not comparison.trainings_folder(tiny).is_relative_to(tiny.paths.trackers)


def test_trackers_that_share_views_track_as_each_alone(tiny):
    torch.manual_seed(0)
    first = Tracktor("tiny", side=96).eval()
    second = Tracktor("tiny", side=96).eval()
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        second.detector.roi_heads.box_predictor.bbox_pred.bias.add_(0.3)
    scene = comparison.scenes(tiny, "test")[0]
    found = comparison._track(scene, {"first": first, "second": second})
    rules = sequences.rules("tracktor")
    for name, tracker in (("first", first), ("second", second)):
        assert_frame_equal(found[name], tracking.track(tracker, scene, rules, tracker, progress=False))


def test_worsened_boxes_cost_two_errors_each():
    frames = np.repeat(np.arange(1, 201), 2)
    left = np.tile([10.0, 70.0], 200)
    boxes = pd.DataFrame(
        {"frame": frames, "id": np.tile([1, 2], 200), "x1": left, "y1": 50.0, "x2": left + 20, "y2": 90.0}
    )
    results = boxes.assign(conf=1.0)[list(RESULT_COLUMNS)]
    gt = boxes.assign(conf=1, cls=1, visibility=1.0)
    worse = comparison.worsen(results, gt, 5.0, seed=0)
    moved = int((worse["y1"] != results["y1"]).sum())
    assert 4 <= moved <= 18, "of 400 boxes ten, give or take"
    counts = evaluation.count_blocks(gt, worse, range(1, 201), "plain", length=200).iloc[0]
    assert counts["FP"] == counts["FN"] == moved
    assert_frame_equal(comparison.worsen(results, gt, 5.0, seed=0), worse)


def test_switches_weigh_in_the_loss_of_the_boxes_where_asked():
    """Two people swap their places: with exact boxes nothing else is wrong."""

    def loss(box_gamma):
        torch.manual_seed(0)  # starts are perturbed
        rollout = Rollout(Shifter())
        frames = clip((BOXES[:2], [1, 2]), (BOXES[:2], [2, 1]))
        rollout.start(frames[0])
        matcher = matchers.create("hungarian")
        return rollout.step(frames[1], "dMOTA+dMOTP", matcher, box_gamma=box_gamma)[0]["boxes"].item()

    assert loss(GAMMA) - loss(0.0) == pytest.approx(GAMMA * 2 / 2, abs=1e-3), "two switches of two"


def test_losses_on_one_object():
    objects = BOXES[:2]
    boxes = objects.flip(0).clone().requires_grad_()
    own, past = torch.eye(2), torch.full((2, 4), torch.nan)
    assert hungarian_matches(boxes, objects, SIZE).tolist() == [[0, 1], [1, 0]], "whoever is nearest"
    nobody = hungarian_matches(boxes + 10_000, objects, SIZE)
    assert nobody.sum() == 0, "an object that is too far is nobody's"
    value = one_object_loss("iou_center", boxes, objects, own, boxes, past, SIZE)
    assert value.item() == pytest.approx(box_distance(boxes, objects, SIZE).diagonal().mean().item())
    assert one_object_loss("iou_center", boxes, objects, nobody, boxes, past, SIZE).item() == 0


def test_differences_by_hand():
    """Ten errors in a hundred boxes against eight, in every scene and for every seed."""
    rows = [
        {"arm": arm, "seed": seed, "images": f"scene {scene}", "block": 0, "boxes": 100, "FP": errors}
        | {"FN": 0, "IDs": 0, "IDTP": 90, "IDFP": 10, "IDFN": 10}
        for arm in (
            comparison.VANILLA,
            comparison.NEGATIVE,
            comparison.POSITIVE,
            *(one.name for one in comparison.ARMS),
        )
        for errors in [8 if arm in (comparison.MAIN, comparison.NEGATIVE) else 10]
        for seed in range(3)
        for scene in range(4)
    ]
    table = comparison_results.results(pd.DataFrame(rows)).set_index("arm")
    assert table.loc[comparison.MAIN, "MOTA"] == pytest.approx(92)
    assert pd.isna(table.loc[comparison.MAIN, "difference"])
    vanilla = table.loc[comparison.VANILLA]
    assert vanilla[["difference", "low", "high"]].tolist() == pytest.approx([2, 2, 2])
    assert vanilla["verdict"] == "better, by more than the margin"
    negative = table.loc[comparison.NEGATIVE]
    assert negative["difference"] == 0 and negative["verdict"] == "alike within the margin"
    assert table["IDF1"].tolist() == pytest.approx([90] * len(table)) and (table["scenes"] == 4).all()


def test_its_profile_makes_evidence_of_the_comparison_alone(smoke):
    """Another notebook with this profile trains for seconds, and says that its numbers are worth nothing."""
    rendered = profiles.get("rendered")
    assert rendered.comparison.evidence and rendered.may_be_quoted and not rendered.evidence
    for name in ("smoke", "standard", "paper"):
        assert not profiles.get(name).comparison.evidence
    with pytest.raises(ValueError, match=r"rendered has no rehearsal: docs/protocol.md"):
        rehearse(dataclasses.replace(smoke, settings=rendered))
