"""The embedded data: what is drawn is what is labeled, and it is neither trivial nor hopeless to track."""

import hashlib
import os

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment

from deepmot_lib.data import mot, synthetic
from deepmot_lib.data.synthetic import canvas, crowd, detectors, people, props, scenery, stage

from .disks import largest_file

pytestmark = pytest.mark.slow

SIZE = (120, 160)
FRAMES = 24


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedded")
    synthetic.write_sequences(folder, 3, FRAMES, SIZE)
    return folder


@pytest.fixture(scope="module")
def sequences(root):
    return {sequence.name: sequence for sequence in mot.find_sequences(root)}


def files(folder):
    """Path -> hash of what is below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def overlaps(a, b):
    """IoU of boxes (N, 4) and (M, 4), straight from the definition."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b))
    return common / (area_a[:, None] + area_b[None] - common)


def corners(table):
    return table[["x1", "y1", "x2", "y2"]].to_numpy(float)


# --- the tree ---


def test_the_tree_is_motchallenge(root, sequences):
    assert list(sequences) == [f"EMB-0{n}-{name}" for n in (1, 2, 3) for name in ("DPM", "FRCNN", "SDP")]
    for sequence in sequences.values():
        assert (sequence.length, sequence.image_size, sequence.frame_rate) == (FRAMES, SIZE, 10)
        assert sequence.image(FRAMES).shape == (*SIZE, 3)
        gt, found = sequence.gt(), sequence.detections()
        assert len(mot.pedestrians(gt)) == len(gt) and gt["visibility"].between(0, 1).all()
        assert (found["id"] == -1).all() and found["conf"].between(0, 1, inclusive="neither").all()
        assert gt["frame"].max() == FRAMES and found["frame"].between(1, FRAMES).all()
        assert sorted(gt["id"].unique()) == list(range(1, gt["id"].nunique() + 1))


def test_detector_folders_share_images_and_ground_truth(root):
    for name in ("gt/gt.txt", "img1/000007.jpg"):
        one, *others = (root / "train" / f"EMB-02-{detector}" / name for detector in ("DPM", "FRCNN", "SDP"))
        assert all(other.read_bytes() == one.read_bytes() for other in others)


def test_the_same_seed_gives_the_same_files_and_another_seed_others(root, tmp_path):
    synthetic.write_sequences(tmp_path / "again", 1, FRAMES, SIZE)
    synthetic.write_sequences(tmp_path / "other", 1, FRAMES, SIZE, seed=1)
    first = {name: code for name, code in files(root / "train").items() if name.startswith("EMB-01")}
    again, other = files(tmp_path / "again" / "train"), files(tmp_path / "other" / "train")
    assert first.items() <= again.items()
    same = [name for name in first if first[name] == other[name] and not name.endswith("seqinfo.ini")]
    assert same == []


def test_a_complete_tree_is_reused_and_a_damaged_one_made_again(tmp_path):
    def make(frames=2):
        synthetic.write_sequences(tmp_path, 1, frames, (64, 64))
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}

    first = make()
    assert len(first) == 3 * 2
    assert make() == first
    next(iter(first)).unlink()
    assert make().keys() == first.keys()
    assert len(make(frames=3)) == 3 * 3
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    render = stage.Stage.render

    def fails_late(self, frame):
        if frame == 2:
            raise KeyboardInterrupt
        return render(self, frame)

    monkeypatch.setattr(stage.Stage, "render", fails_late)
    with pytest.raises(KeyboardInterrupt):
        synthetic.write_sequences(tmp_path / "data", 1, 3, (64, 64))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_full_disk_is_reported_with_the_folder_and_leaves_the_old_one(tmp_path):
    synthetic.write_sequences(tmp_path, 1, 2, (96, 128))
    before = sorted(tmp_path.rglob("*"))
    with largest_file(1 << 10), pytest.raises(OSError, match=r"^\[Errno 27\] File too large: '.*/train'$"):
        synthetic.write_sequences(tmp_path, 1, 3, (96, 128))
    assert sorted(tmp_path.rglob("*")) == before and len(list(tmp_path.iterdir())) == 1


def test_a_folder_of_other_data_is_left_alone(tmp_path):
    precious = tmp_path / "train" / "MOT17-09-DPM" / "gt" / "gt.txt"
    mot.write_ground_truth(precious, pd.DataFrame([(1, 1, 0, 0, 9, 9)], columns=mot.COLUMNS[:6]))
    before = files(tmp_path)
    with pytest.raises(FileExistsError, match="holds no embedded data"):
        synthetic.write_sequences(tmp_path, 1, 2, (64, 64))
    assert files(tmp_path) == before


def test_a_disk_without_hard_links_gets_copies(tmp_path, monkeypatch):
    def refuses(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuses)
    synthetic.write_sequences(tmp_path, 1, 1, (64, 64))
    images = [path.read_bytes() for path in tmp_path.rglob("000001.jpg")]
    assert len(images) == 3 and len(set(images)) == 1


@pytest.mark.parametrize(
    "arguments", [(0, 5, (64, 64)), (1, 0, (64, 64)), (1, 5, (64, 63)), (1, 5, (8, 640))]
)
def test_senseless_sizes_are_refused(tmp_path, arguments):
    with pytest.raises(ValueError, match="cannot render"):
        synthetic.write_sequences(tmp_path / "data", *arguments)
    assert not (tmp_path / "data").exists()


# --- what is drawn is what is labeled ---


@pytest.fixture(scope="module")
def still():
    return stage.Stage.build(1, FRAMES, SIZE, seed=0)


def test_people_are_where_their_boxes_are(still):
    """A person taken out of the scene changes the picture inside of the box; above it nothing."""
    _, rows = still.render(1)
    seen = [row for row in rows if row[6] > 0.9 and row[2] > 5 and row[4] < SIZE[1] - 5]
    assert seen
    whole = still.render(1)[0].astype(int)
    for _, index, x1, y1, x2, y2, *_ in seen:
        without = stage.Stage(
            **{**vars(still), "walkers": [w for i, w in enumerate(still.walkers, 1) if i != index]}
        )
        change = np.abs(whole - without.render(1)[0].astype(int)).sum(-1)
        inside = change[int(y1) : int(y2), int(x1) : int(x2)]
        assert inside.mean() > 20
        above = change[: int(y1) - 2]
        assert (above > 60).mean() < 0.002


def test_visibility_is_the_share_of_the_silhouette_in_view(still):
    """Against a count of our own: the person alone on an empty stage, and among everybody."""
    _, rows = still.render(5)
    partly = [row for row in rows if 0.2 < row[6] < 0.8]
    assert partly
    camera = still.camera_at(5)
    for _, index, *_, v1, w1, v2, w2 in partly:
        walker = still.walkers[index - 1]
        alone = stage.Stage(**{**vars(still), "walkers": [walker], "props": []}).render(5)[1][0]
        visibility = next(row[6] for row in rows if row[1] == index)
        assert alone[6] >= visibility
        # Amodal: hiding does not shrink the box.
        assert alone[2:6] == next(row[2:6] for row in rows if row[1] == index)
        x1, y1, x2, y2 = alone[2:6]
        assert x1 <= v1 < v2 <= x2 and y1 <= w1 < w2 <= y2
        foot = camera.project(walker.x[4], 0, walker.z[4])
        assert x1 < foot[0] < x2 and abs(y2 - foot[1]) < 0.1 * (y2 - y1) + 3


def test_a_wall_in_front_hides_and_one_behind_does_not():
    frame, owners = np.zeros((60, 60, 3), np.float32), np.zeros((60, 60), np.int32)
    square = canvas.Sprite(np.full((20, 20, 4), 1, np.float32) * (255, 0, 0, 1), 10, 10)
    wall = canvas.Sprite(np.full((20, 10, 4), 1, np.float32) * (0, 255, 0, 1), 10, 10)
    canvas.paste(frame, square, owners, 1)
    canvas.paste(frame, wall, owners, -1)
    row = stage._ground_truth(1, 1, square, owners)
    assert row[2:7] == (10, 10, 30, 30, 0.5) and row[7:] == (20, 10, 30, 30)
    canvas.paste(frame, square, owners, 1)
    assert stage._ground_truth(1, 1, square, owners)[6] == 1
    hidden = canvas.Sprite(square.pixels, 10, 10)
    canvas.paste(frame, hidden, owners, -1)
    row = stage._ground_truth(1, 1, square, owners)
    assert row[6] == 0 and np.isnan(row[7:]).all()  # keeps its row, as in MOT17


def test_the_border_cuts_visibility_but_not_the_box():
    owners = np.zeros((40, 40), np.int32)
    square = canvas.Sprite(np.full((20, 20, 4), 1, np.float32), -5, 30)
    canvas.paste(np.zeros((40, 40, 3), np.float32), square, owners, 1)
    row = stage._ground_truth(1, 1, square, owners)
    assert row[2:6] == (-5, 30, 15, 50) and row[6] == pytest.approx(15 * 10 / 400)
    assert stage._ground_truth(1, 1, canvas.Sprite(square.pixels, 60, 60), owners) is None


def test_a_camera_projects_heights_by_distance():
    camera = scenery.Camera(focal=500, height=2.5, horizon=100, center=320)
    assert camera.project(0, 2.5, 7).tolist() == [320, 100]  # at eye level: on the horizon at any distance
    foot, head = camera.project(1, [0, 1.8], 5)
    assert foot.tolist() == [420, 350] and head[1] == pytest.approx(350 - 1.8 * camera.scale(5))
    assert camera.moved((10, -4), 1.1).project(0, 2.5, 7).tolist() == [330, 96]


@pytest.mark.parametrize("heading", [0, np.pi / 2, np.pi, -np.pi / 2, 0.7])
def test_a_person_is_as_tall_as_told_and_changes_shape_while_walking(heading):
    appearance = people.Appearance.sample(np.random.default_rng(3))
    boxes, shapes = [], []
    for phase in np.linspace(0, 2 * np.pi, 9):
        sprite = people.draw_person(appearance, (200.0, 300.0), 100.0, heading, phase, 1.0, 1.0)
        boxes.append(sprite.box())
        shapes.append(sprite.area())
    boxes = np.array(boxes)
    assert np.abs(boxes[:, 3] - boxes[:, 1] - 100 * appearance.height).max() < 0.14 * 100 * appearance.height
    assert np.abs(boxes[:, 3] - 300).max() < 6
    assert np.ptp(shapes) > 0
    if heading in (0, np.pi):
        assert np.ptp(boxes[:, 2] - boxes[:, 0]) > 15  # the stride opens and closes


def test_people_look_different():
    appearances = [people.Appearance.sample(np.random.default_rng(seed)) for seed in range(30)]
    colors = np.array([np.concatenate([one.shirt, one.trousers, one.accent]) for one in appearances])
    distance = np.abs(colors[:, None] - colors[None]).mean(-1)
    assert distance[~np.eye(30, dtype=bool)].min() > 8


@pytest.mark.parametrize("kind", sorted(props.PROPS))
def test_every_prop_stands_on_its_foot(kind):
    sprite = props.Prop(kind, 0, 8, seed=4).draw((150.0, 300.0), 60.0, 1.0)
    x1, _, x2, y2 = sprite.box()
    assert x1 < 150 < x2 and abs(y2 - 300) < 15


def test_nobody_walks_through_a_prop():
    for number in (1, 2, 3):
        street = stage.Stage.build(number, 30, (64, 96), seed=2)
        for walker in street.walkers:
            x, z = walker.x[walker.present], walker.z[walker.present]
            for prop in street.props:
                assert (np.hypot(x - prop.x, z - prop.z) > prop.radius).all()


def test_people_come_and_go_and_keep_their_number():
    street = stage.Stage.build(2, 150, (64, 96), seed=0)
    present = np.array([walker.present for walker in street.walkers])
    together = present.sum(0)
    assert together.min() > 0.4 * together.max()
    first, last = present[:, 0], present[:, -1]
    assert (first & ~last).any() and (~first & last).any()


def test_every_third_camera_moves(sequences):
    for number, moves in ((1, False), (2, False), (3, True)):
        sequence = sequences[f"EMB-0{number}-DPM"]
        one, two = (cv2.resize(sequence.image(frame)[:30], (40, 8)).astype(int) for frame in (1, FRAMES))
        assert (np.abs(one - two).mean() > 12) == moves


# --- the detectors ---


@pytest.fixture(scope="module")
def matched(sequences):
    """Detector -> (people with a column found, detections with a column true), matched at IoU 0.5."""
    tables = {}
    for name in ("DPM", "FRCNN", "SDP"):
        objects, found = [], []
        for sequence in (sequences[f"EMB-0{n}-{name}"] for n in (1, 2, 3)):
            gt, detections = sequence.gt().assign(sequence=sequence.name), sequence.detections()
            for frame in range(1, FRAMES + 1):
                a, b = gt[gt["frame"] == frame].copy(), detections[detections["frame"] == frame].copy()
                iou = overlaps(corners(a), corners(b))
                rows, columns = linear_sum_assignment(-iou)
                good = iou[rows, columns] >= 0.5
                a["found"], b["true"] = False, False
                a.iloc[rows[good], -1] = True
                b.iloc[columns[good], -1] = True
                objects.append(a)
                found.append(b)
        tables[name] = pd.concat(objects), pd.concat(found)
    return tables


def test_detectors_rise_in_quality(matched):
    recall = [objects["found"].mean() for objects, _ in matched.values()]
    assert recall[0] + 0.08 < recall[1] < recall[2] - 0.05
    assert all(found["true"].mean() > 0.75 for _, found in matched.values())


def test_misses_rise_with_occlusion_and_small_size(matched):
    for objects, _ in matched.values():
        clear, hidden = objects[objects["visibility"] > 0.9], objects[objects["visibility"] < 0.4]
        assert clear["found"].mean() > hidden["found"].mean() + 0.3
        height = clear["y2"] - clear["y1"]
        tall, small = clear[height > height.quantile(0.7)], clear[height < height.quantile(0.3)]
        assert tall["found"].mean() >= small["found"].mean()


def test_scores_tell_true_from_false_and_misses_last(matched):
    for _, found in matched.values():
        assert found[found["true"]]["conf"].mean() > found[~found["true"]]["conf"].mean() + 0.1
    objects = matched["DPM"][0].sort_values(["sequence", "id", "frame"], ignore_index=True)
    objects = objects[objects["visibility"] > 0.5]
    same = (objects["id"].diff() == 0) & (objects["frame"].diff() == 1)
    before = objects["found"].shift()[same].astype(bool)
    now = objects["found"][same]
    assert (~now[~before]).mean() > (~now[before]).mean() + 0.2


def test_ghosts_doubles_and_suppression():
    boxes = pd.DataFrame(
        [(1, 0.9, 0, 0, 10, 20), (1, 0.8, 1, 0, 11, 20), (1, 0.7, 30, 0, 40, 20), (2, 0.5, 1, 0, 11, 20)],
        columns=["frame", "conf", "x1", "y1", "x2", "y2"],
    )
    assert detectors._nms(boxes, overlap=0.6).tolist() == [True, False, True, True]
    nobody = pd.DataFrame(
        [(1, 1, 10, 10, 20, 40, 0.0, *[np.nan] * 4)],
        columns=["frame", "id", "x1", "y1", "x2", "y2", "visibility", "v1", "w1", "v2", "w2"],
    )
    rng = np.random.default_rng(0)
    ghosts = detectors.detect(
        nobody, detectors.DETECTORS[0], 300, (200, 200), lambda *_: lambda frame: (50, 50, 80, 130), rng
    )
    expected = 300 * detectors.DETECTORS[0].ghosts * 0.85
    assert len(ghosts) == pytest.approx(expected, rel=0.3)
    assert ghosts["frame"].value_counts().max() > 1 and ghosts["conf"].mean() < 0.6


def test_a_greedy_tracker_finds_it_neither_trivial_nor_hopeless(sequences):
    """The middle detector linked by overlap alone: MOTA counted by hand."""
    misses = false = switches = total = 0
    for sequence in (sequences[f"EMB-0{n}-FRCNN"] for n in (1, 2, 3)):
        gt, detections = sequence.gt(), sequence.detections()
        tracks, last, fresh = {}, {}, 0
        for frame in range(1, FRAMES + 1):
            objects = gt[gt["frame"] == frame]
            boxes = corners(detections[(detections["frame"] == frame) & (detections["conf"] > 0.4)])
            previous = np.array(list(tracks.values())).reshape(-1, 4)
            linked = linear_sum_assignment(-overlaps(previous, boxes))
            names = {}
            for row, column in zip(*linked, strict=True):
                if overlaps(previous, boxes)[row, column] > 0.3:
                    names[column] = list(tracks)[row]
            for column in range(len(boxes)):
                if column not in names:
                    names[column], fresh = fresh, fresh + 1
            tracks = {names[column]: box for column, box in enumerate(boxes)}
            iou = overlaps(corners(objects), boxes)
            rows, columns = linear_sum_assignment(-iou)
            good = iou[rows, columns] >= 0.5
            total += len(objects)
            misses += len(objects) - good.sum()
            false += len(boxes) - good.sum()
            for row, column in zip(rows[good], columns[good], strict=True):
                identity = objects["id"].iloc[row]
                switches += last.get(identity, names[column]) != names[column]
                last[identity] = names[column]
    assert 0.4 < 1 - (misses + false + switches) / total < 0.75


def test_crowds_hold_pairs_and_a_standing_group():
    street = stage.Stage.build(1, 60, (64, 96), seed=0)
    standing = [walker for walker in street.walkers if np.ptp(walker.x) < 0.2 and walker.present.all()]
    assert len(standing) in (2, 3)
    assert isinstance(street.walkers[0], crowd.Walker)
