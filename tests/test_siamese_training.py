"""Pre-training on pairs of crops: what pairs show, and that it teaches."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from deepmot_lib.data import mot
from deepmot_lib.data.image_tensors import to_tensor
from deepmot_lib.distance import jaccard_distance
from deepmot_lib.trackers.goturn import GOTURN
from deepmot_lib.trackers.rules import MOT_BY_SOT
from deepmot_lib.trackers.siamrpn import SiamRPN
from deepmot_lib.trackers.tracking import track
from deepmot_lib.training.schedules import PairSchedule
from deepmot_lib.training.siamese import CropPairs, SiameseTraining, move, pair_loss

pytestmark = pytest.mark.slow

SCHEDULE = PairSchedule(steps=6, frames=2, tracks=3, max_frame_gap=2)
LENGTH = 12


def goturn():
    torch.manual_seed(0)
    return GOTURN(size=32, widths=(8, 8, 8, 8, 8), hidden=16)


def siamrpn():
    torch.manual_seed(0)
    return SiamRPN(template=63, search=95, kernels=(5, 3, 3), widths=(8, 8, 16))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def sequence(tmp_path_factory):
    """Three bright boxes that move over noise: 1 to the right, 2 to the left and 3 down.

    3 is hidden in the odd frames, 2 leaves after frame 4. The second half's pictures cannot be read: nobody
    may look.
    """
    root = tmp_path_factory.mktemp("data") / "MOVING"
    (root / "img1").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 100, (60, 90, 3), dtype=np.uint8)
    rows = []
    for frame in range(1, LENGTH + 1):
        picture = noise.copy()
        places = {1: (8 + 2 * frame, 10), 2: (70 - 2 * frame, 30), 3: (45, 2 + 2 * frame)}
        for identity, (x, y) in places.items():
            if identity == 2 and frame > 4:
                continue
            hidden = identity == 3 and frame % 2
            if not hidden:
                picture[y : y + 20, x : x + 8, identity - 1] = 250
            rows.append((frame, identity, x, y, x + 8, y + 20, 1, 1, 0.0 if hidden else 1.0))
        file = root / "img1" / f"{frame:06d}.png"
        if frame <= LENGTH // 2:
            Image.fromarray(picture).save(file)
        else:
            file.write_bytes(b"no picture")
    mot.write_ground_truth(root / "gt" / "gt.txt", pd.DataFrame(rows, columns=mot.COLUMNS))
    (root / "seqinfo.ini").write_text(f"[Sequence]\nseqLength={LENGTH}\nimWidth=90\nimHeight=60\n")
    return mot.Sequence.open(root)


def overlap(a, b):
    return (1 - jaccard_distance(a, b)).diagonal()


def test_a_pair_shows_one_person_in_two_near_frames_of_the_training_half(sequence):
    gt, pairs = sequence.gt(), CropPairs([sequence], SCHEDULE)
    frames = {frame: to_tensor(sequence.image(frame)) for frame in mot.split(sequence)["train"]}
    seen = set()
    for seed in range(40):
        pair = pairs.draw(generator(seed))
        first, second = (
            next(frame for frame, image in frames.items() if torch.equal(image, shown))
            for shown in (pair.first, pair.second)
        )
        assert 0 < abs(first - second) <= SCHEDULE.max_frame_gap
        for target, present in zip(pair.target, pair.present, strict=True):
            truth = gt[(gt.frame == second) & np.isclose(gt[["x1", "y1"]], target[:2]).all(1)]
            assert target.isnan().all() if truth.empty else len(truth) == 1
            assert present == (not truth.empty and truth.visibility.item() > 0)
        seen |= {first, second}
    assert seen == set(mot.split(sequence)["train"])


def test_templates_are_the_truth_or_a_2s_perturbation_of_it(sequence):
    gt, pairs = sequence.gt(), CropPairs([sequence], replace(SCHEDULE, negatives=0.0))
    corners = torch.tensor(gt.loc[gt.visibility > 0, ["x1", "y1", "x2", "y2"]].to_numpy(np.float32))
    exact = 0
    for seed in range(30):
        pair = pairs.draw(generator(seed))
        nearest = (1 - jaccard_distance(pair.template, corners)).max(1).values
        # The least overlap: shrunk to 0.8 and shifted by a quarter each way, or grown to 1.2 and shifted.
        assert (nearest > 0.3).all()
        exact += int((nearest > 0.999).sum())
    assert exact > 10


def test_boxes_move_by_laplaces_distribution():
    """Of a Laplace distribution of scale s, half are within s ln 2, and exp(-x / s) are beyond x."""
    box = torch.tensor([10.0, 20.0, 50.0, 120.0])  # 40 x 100 around (30, 70)
    moved = move(box.expand(20_000, 4), generator())
    shift = ((moved[:, :2] + moved[:, 2:]) / 2 - torch.tensor([30.0, 70])) / torch.tensor([40.0, 100])
    factor = (moved[:, 2:] - moved[:, :2]) / torch.tensor([40.0, 100])
    for values, scale, largest in ((shift, 0.2, 1.0), (factor - 1, 1 / 15, 0.4)):
        assert values.median(0).values.abs().max() < 0.02 * scale / 0.2
        assert values.abs().median(0).values.numpy() == pytest.approx(scale * np.log(2), rel=0.05)
        beyond = (values.abs() > 2 * scale).float().mean(0).numpy()
        assert beyond == pytest.approx(np.exp(-2), rel=0.1)
        assert values.abs().max().item() == pytest.approx(largest)


def test_negatives_are_searched_elsewhere(sequence):
    away = {}
    for share in (0.0, 1.0):
        pairs = CropPairs([sequence], replace(SCHEDULE, negatives=share))
        drawn = [pairs.draw(generator(seed)) for seed in range(20)]
        away[share] = torch.cat([overlap(pair.template, pair.search) == 0 for pair in drawn])
    assert away[0.0].float().mean() < 0.1 < 0.3 < away[1.0].float().mean()


def test_pairs_depend_on_the_generator_alone(sequence):
    pairs = CropPairs([sequence], SCHEDULE)
    first, again, other = (pairs.draw(generator(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.search, other.search)


def test_nobody_to_learn_from_is_an_error_that_names_the_sequences(sequence):
    with pytest.raises(ValueError, match="training halves of MOVING"):
        CropPairs([sequence], replace(SCHEDULE, min_visibility=1.5))
    with pytest.raises(ValueError, match="no sequences"):
        SiameseTraining(goturn(), [], SCHEDULE, 0)


@pytest.mark.parametrize("make", [goturn, siamrpn])
def test_the_tracker_is_asked_for_the_true_box_in_the_crop_it_sees(sequence, make, monkeypatch):
    """Each crop, mirrored or not, is brightest in its person's channel inside the target box."""
    tracker, pairs = make(), CropPairs([sequence], replace(SCHEDULE, negatives=0.0))
    asked = []
    monkeypatch.setattr(tracker, "pair_loss", lambda *arguments: asked.append(arguments) or torch.zeros(()))
    for seed in range(10):
        pair_loss(tracker, [pairs.draw(generator(seed))], generator(seed))
    checked = 0
    for _, searches, _, target, present in asked:
        size = searches.shape[-1]
        for crop, box, there in zip(searches, target, present, strict=True):
            inside = (box * size).round().int().clamp(0, size)
            x1, y1, x2, y2 = inside.tolist()
            if there and (x2 - x1) * (y2 - y1) > 9:
                shown = crop[:, y1:y2, x1:x2].mean((1, 2))
                assert (shown - crop.mean((1, 2))).max() > 0.15
                checked += 1
    assert checked > 10


def test_the_schedule_describes_itself():
    assert (
        PairSchedule(steps=1500)
        .describe()
        .startswith("1,500 steps of 4 pairs of frames at most 5 apart, Adam 0.001")
    )


@pytest.mark.parametrize(("make", "rate"), [(goturn, 3e-3), (siamrpn, 3e-3)])
def test_steps_of_training_lower_the_loss_of_a_pair(sequence, make, rate):
    tracker, pair = make(), CropPairs([sequence], SCHEDULE).draw(generator(3))
    optimizer = torch.optim.Adam(tracker.parameters(), lr=rate)
    losses = []
    for _ in range(40):
        losses.append(pair_loss(tracker, [pair], generator(0)))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("make", [goturn, siamrpn])
def test_both_trackers_run_with_mot_by_sot_on_embedded_data(smoke, make):
    embedded = smoke.rendered[0]
    found = track(make(), embedded, MOT_BY_SOT, frames=range(1, 9), progress=False)
    assert found["frame"].between(3, 8).all()  # nobody is born before the third frame
    assert found.groupby("id").size().max() == 6  # and somebody lives on to the last
    inside = found[["x1", "y1"]].ge(0).all(axis=None) and found["x2"].le(embedded.width).all()
    assert inside and found["y2"].le(embedded.height).all()
    assert found["conf"].between(0, 1).all()
