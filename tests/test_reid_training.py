"""External ReID: crops, batch-hard triplets, training on identities."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from deepmot_lib.data import mot, synthetic
from deepmot_lib.distance import appearance_distance
from deepmot_lib.trackers.reid import Embedder, crops
from deepmot_lib.training import trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.reid import ReIDTraining, gather, triplet_loss
from deepmot_lib.training.schedules import ReIDSchedule

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    return synthetic.write_sequences(tmp_path_factory.mktemp("data"), 1, 16, (120, 160))


def test_a_crop_shows_what_is_in_the_box():
    image = torch.zeros(3, 100, 100)
    image[0, 20:60, 30:50] = 1.0
    pictures = crops(image, torch.tensor([[30.0, 20, 50, 60], [30, 20, 70, 60], [-50, -50, -10, -10]]))
    assert pictures.shape == (3, 3, 128, 64)
    assert float(pictures[0, 0].mean()) > 0.97 and float(pictures[0, 1].max()) == 0
    assert float(pictures[1, 0, :, :30].mean()) > 0.97 and float(pictures[1, 0, :, 34:].mean()) < 0.05
    assert float(pictures[2].abs().max()) == 0


def test_embeddings_have_unit_length_and_none_is_fine():
    embedder = Embedder().eval()
    image = torch.rand(3, 100, 100)
    embedded = embedder(image, torch.tensor([[30.0, 20, 50, 60], [-50, -50, -10, -10]]))
    assert torch.allclose(embedded.norm(dim=1), torch.ones(2), atol=1e-5) and embedded.shape == (2, 128)
    assert embedder(image, torch.empty(0, 4)).shape == (0, 128)


def test_the_triplet_loss_is_that_of_the_hardest_ones():
    torch.manual_seed(0)
    embeddings = torch.randn(9, 5)
    people = [0, 0, 0, 1, 1, 2, 2, 2, 3]  # the last has no second picture
    distance = appearance_distance(embeddings, embeddings)
    expected = []
    for i, person in enumerate(people[:8]):
        farthest = max(float(distance[i, j]) for j, p in enumerate(people) if p == person and j != i)
        nearest = min(float(distance[i, j]) for j, p in enumerate(people) if p != person)
        expected.append(math.log1p(math.exp(10 * (farthest - nearest))))
    assert float(triplet_loss(embeddings, torch.tensor(people))) == pytest.approx(sum(expected) / 8, rel=1e-5)


@pytest.mark.parametrize("people", [[0, 0, 0], [0, 1, 2]], ids=["one person", "one picture each"])
def test_triplets_that_cannot_be_made_are_an_error(people):
    with pytest.raises(ValueError, match="two pictures of one person and one of another"):
        triplet_loss(torch.randn(3, 4), torch.tensor(people))


def test_the_album_holds_the_people_of_the_first_half(sequences):
    schedule = ReIDSchedule(1, min_visibility=0.5, max_crops_per_identity=3)
    album = gather(sequences[:1], schedule)
    rows = mot.pedestrians(sequences[0].gt(), 0.5).query("frame <= 8")
    counts = rows["id"].value_counts()
    counts = counts[counts > 1].clip(upper=3)
    assert album.identities.bincount().sort().values.tolist() == sorted(counts)
    assert album.crops.shape == (counts.sum(), 3, 128, 64) and album.crops.dtype == torch.uint8


def test_the_same_people_with_another_detector_are_not_other_people(sequences):
    assert len(sequences) == 3
    alone, together = (gather(part, ReIDSchedule(1)) for part in (sequences[:1], sequences))
    assert torch.equal(alone.identities, together.identities)


def test_an_album_of_one_person_is_refused(sequences):
    with pytest.raises(ValueError, match="fewer than two people"):
        gather(sequences, ReIDSchedule(1, min_visibility=1.1))


def test_training_tells_people_apart(tmp_path):
    """Four people whose clothes differ, in the light of day and of dusk."""
    rng = np.random.default_rng(0)
    clothes = np.array([(200, 60, 60), (60, 200, 60), (60, 60, 200), (160, 160, 60)])
    rows = []
    (tmp_path / "STREET" / "img1").mkdir(parents=True)
    for frame in range(1, 13):
        picture = rng.integers(90, 110, (48, 128, 3))
        for number, color in enumerate(clothes):
            x, y = 32 * number + rng.integers(0, 14), rng.integers(0, 10)
            picture[y : y + 36, x : x + 16] = color + rng.integers(-40, 40, (36, 16, 3))
            rows.append((frame, number + 1, x, y, x + 16, y + 36))
        light = rng.uniform(0.4, 1.0)
        file = tmp_path / "STREET" / "img1" / f"{frame:06d}.png"
        Image.fromarray((picture * light).astype(np.uint8)).save(file)
    mot.write_ground_truth(tmp_path / "STREET" / "gt" / "gt.txt", pd.DataFrame(rows, columns=mot.COLUMNS[:6]))
    sequence = mot.Sequence.open(tmp_path / "STREET")
    torch.manual_seed(0)
    embedder, schedule = Embedder(units=32), ReIDSchedule(25, pictures=3)
    training = ReIDTraining(embedder, [sequence], schedule, 0)
    history = trainer.train(training, CheckpointFile(tmp_path / "a.pt", {}))
    assert history["loss"].iloc[-3:].mean() < 0.5 * history["loss"].iloc[0]
    unseen = gather([sequence], schedule, "val")
    with torch.no_grad():
        embeddings = embedder.embed(unseen.crops.float() / 255)
    nearest = torch.cdist(embeddings, embeddings).fill_diagonal_(torch.inf).argmin(1)
    assert torch.equal(unseen.identities[nearest], unseen.identities), "rank 1"
