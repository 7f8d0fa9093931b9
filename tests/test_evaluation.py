"""Evaluation against numbers worked by hand, published totals, and TrackEval's own runner."""

import doctest
import os
import tarfile
from pathlib import Path

import motmetrics
import numpy as np
import pandas as pd
import pytest
import trackeval
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmot_lib import evaluation
from deepmot_lib.data import mot
from deepmot_lib.evaluation import COLUMNS, COUNTS, PROTOCOLS, evaluate, evaluate_sequence

EXAMPLES = Path(motmetrics.__file__).parent / "data"
DATA = os.environ.get("DEEPMOT_DATA")
LIF_T = DATA and Path(DATA) / "results-Lif_T-MOT17-train.tgz"

# Printed by the motmetrics wheel's own documentation and by TrackEval on the same files.
TUD = {
    "TUD-Campus": {"MOTA": 0.5265, "IDF1": 0.5577, "MOTP": 0.7228, "HOTA": 0.3914},
    "TUD-Stadtmitte": {"MOTA": 0.5640, "IDF1": 0.6446, "MOTP": 0.6541, "HOTA": 0.3978},
}


def boxes(*rows, size=20):
    """A table from (frame, id, left): squares of 20 px in a row, of overlap (20 - shift) / (20 + shift)."""
    frame, identity, left = np.array(rows, dtype=float).reshape(-1, 3).T
    columns = {"frame": frame.astype(int), "id": identity.astype(int), "x1": left, "y1": 0.0}
    return pd.DataFrame(
        columns | {"x2": left + size, "y2": float(size), "conf": 1.0, "cls": 1, "visibility": 1.0}
    )


def write_sequence(root, name, gt, length):
    (root / name / "gt").mkdir(parents=True)
    mot.write_ground_truth(root / name / "gt" / "gt.txt", gt)
    info = (
        f"[Sequence]\nname={name}\nseqLength={length}\nimWidth=640\nimHeight=480\nframeRate=25\nimDir=img1\n"
    )
    (root / name / "seqinfo.ini").write_text(info)


@pytest.fixture
def two_sequences(tmp_path):
    """A: one object, found in all 4 frames. B: one object for 4 frames, found once, and a false positive."""
    a, b = (boxes(*[(t, 1, 0) for t in range(1, 5)]) for _ in "AB")
    write_sequence(tmp_path / "gt", "A", a, 4)
    write_sequence(tmp_path / "gt", "B", b, 4)
    (tmp_path / "results").mkdir()
    mot.write_results(tmp_path / "results" / "A.txt", boxes(*[(t, 5, 0) for t in range(1, 5)]))
    mot.write_results(tmp_path / "results" / "B.txt", boxes((1, 5, 0), (2, 5, 300)))
    return tmp_path / "gt", tmp_path / "results"


# --- numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", TUD)
def test_tud(name, protocol):
    folder = EXAMPLES / name
    gt, results = mot.read_ground_truth(folder / "gt.txt"), mot.read_boxes(folder / "test.txt")
    measured = evaluate_sequence(gt, results, protocol)
    assert {key: round(measured[key], 4) for key in TUD[name]} == TUD[name]


def test_worked_example():
    """Objects 1 and 2 for 5 frames each. Track 7 follows object 1 for 3 frames, with shifts 0, 5, 0 (overlaps
    1, 0.6, 1), then track 8 does, exactly. Object 2 is never found; track 9 is far from everything."""
    gt = boxes(*[(t, 1, 0) for t in range(1, 6)], *[(t, 2, 100) for t in range(1, 6)])
    results = boxes((1, 7, 0), (2, 7, 5), (3, 7, 0), (4, 8, 0), (5, 8, 0), (1, 9, 400))
    for protocol in PROTOCOLS:
        measured = evaluate_sequence(gt, results, protocol)
        assert list(measured) == COLUMNS
        counts = {"GT": 2, "MT": 1, "PT": 0, "ML": 1, "FP": 1, "FN": 5, "IDs": 1, "FM": 0}
        assert {name: measured[name] for name in COUNTS} == counts
        # Identity: object 1 goes to track 7, so IDTP = 3, IDFP = 6 - 3, IDFN = 10 - 3.
        expected = {"Rcll": 5 / 10, "Prcn": 5 / 6, "MOTA": 1 - (1 + 5 + 1) / 10, "MOTP": (4 + 0.6) / 5}
        expected |= {"IDP": 3 / 6, "IDR": 3 / 10, "IDF1": 3 / (3 + 3 / 2 + 7 / 2)}
        # HOTA: at the thresholds up to 0.6 (12 of 19) all 5 pairs match, above it 4. Track 7 then shares 3
        # (or 2) frames with object 1, of 5 of the object's and 3 of its own; track 8 shares 2, of 5 and 2.
        low = 5 / (5 + 5 + 1), (3 * 3 / 5 + 2 * 2 / 5) / 5
        high = 4 / (4 + 6 + 2), (2 * 2 / (5 + 3 - 2) + 2 * 2 / 5) / 4
        expected |= {"DetA": (12 * low[0] + 7 * high[0]) / 19, "AssA": (12 * low[1] + 7 * high[1]) / 19}
        expected["HOTA"] = (12 * np.sqrt(low[0] * low[1]) + 7 * np.sqrt(high[0] * high[1])) / 19
        assert {name: measured[name] for name in expected} == pytest.approx(expected)


# Where py-motmetrics and TrackEval count differently (docs/evaluation.md walks through it). Overlaps by shift
# in px: 2 -> 0.82, 4 -> 0.67, 6 -> 0.54, 12 -> 0.25. Ground truth, results, {count: (TrackEval, motmetrics)}.
DIFFERENCES = {
    # Track 7 goes over from object 1 to object 2 in frame 2; in frame 3 it is near enough to both. TrackEval:
    # it stays with object 2, its match in the frame before. motmetrics: object 1, which had it in frame 1 and
    # comes first, takes it back.
    "two objects remember one track": (
        boxes(*[(t, 1, 0) for t in range(1, 5)], (1, 2, 100), (2, 2, 12), (3, 2, 10), (4, 2, 12)),
        boxes((1, 7, 0), (2, 7, 12), (3, 7, 6), (4, 7, 12)),
        {"FM": (0, 2), "IDs": (0, 0), "FP": (0, 0), "FN": (4, 4), "MT": (0, 0), "PT": (2, 2)},
    ),
    # Track 7 loses the object in frame 2; in frame 3 it is back, but track 8 fits better. TrackEval: the best
    # fit, a switch. motmetrics: the track remembered from frame 1.
    "a better track after a miss": (
        boxes(*[(t, 1, 0) for t in range(1, 4)]),
        boxes((1, 7, 0), (2, 7, 12), (3, 7, 6), (3, 8, 2)),
        {"FM": (1, 1), "IDs": (1, 0), "FP": (2, 2), "FN": (1, 1), "MT": (0, 0), "PT": (1, 1)},
    ),
    # Found in 4 of 5 frames: "mostly tracked" is more than 80 % for TrackEval, 80 % or more for motmetrics.
    "exactly 80 % tracked": (
        boxes(*[(t, 1, 0) for t in range(1, 6)]),
        boxes(*[(t, 7, 0) for t in range(1, 5)]),
        {"FM": (0, 0), "IDs": (0, 0), "FP": (0, 0), "FN": (1, 1), "MT": (0, 1), "PT": (1, 0)},
    ),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_where_the_libraries_differ(case):
    gt, results, expected = DIFFERENCES[case]
    for side, protocol in enumerate(("motchallenge", "plain")):
        measured = evaluate_sequence(gt, results, protocol)
        assert {name: measured[name] for name in expected} == {k: v[side] for k, v in expected.items()}
        # motmetrics goes by the order of the objects, which must be that of their ids, not of the rows.
        assert evaluate_sequence(gt[::-1], results[::-1], protocol) == measured


def test_the_examples_in_the_docs():
    file = Path(__file__).parents[1] / "docs" / "evaluation.md"
    failed, tried = doctest.testfile(str(file), module_relative=False)
    assert tried >= 9 and not failed


def test_preprocessing():
    """A result on each of: a pedestrian, one with flag 0, a static person (class 7), a car (class 3)."""
    gt = boxes(*[(1, k, 100 * k) for k in range(4)]).assign(cls=[1, 1, 7, 3], conf=[1.0, 0.0, 0.0, 0.0])
    results = boxes(*[(1, k, 100 * k) for k in range(4)])
    # The official kit forgives only what stands on a distractor, not on an ignored pedestrian or a car.
    official, plain = (evaluate_sequence(gt, results, protocol) for protocol in PROTOCOLS)
    assert (official["GT"], official["FP"], official["FN"]) == (1, 2, 0)
    assert (plain["GT"], plain["FP"], plain["FN"]) == (1, 3, 0)
    # Plain looks at the flag alone, never at the class.
    assert evaluate_sequence(gt.assign(conf=1.0), results, "plain")["GT"] == 4
    assert evaluate_sequence(gt.assign(conf=1.0), results, "motchallenge")["GT"] == 2


def random_sequence(seed, frames=40):
    """Objects of all classes on random walks, some with flag 0; results that miss, jitter and swap them."""
    rng = np.random.default_rng(seed)
    objects = 14
    cls = rng.choice([1, 1, 1, 2, 3, 7, 8, 12], objects)
    walk = rng.normal(0, 3, (frames, objects, 2)).cumsum(axis=0) + rng.uniform(0, 120, (objects, 2))
    rows, found = [], []
    names = np.arange(objects)
    for frame in range(frames):
        names = rng.permutation(names) if rng.random() < 0.1 else names
        for k, (x, y) in enumerate(walk[frame]):
            flag = float(cls[k] == 1 and rng.random() < 0.9)
            rows.append((frame + 1, k + 1, x, y, x + 30, y + 60, flag, cls[k], 1.0))
            if rng.random() < 0.8:
                dx, dy = rng.normal(0, 4, 2)
                found.append(
                    (frame + 1, names[k] + 50, x + dx, y + dy, x + dx + 30, y + dy + 62, 1.0, 1, 1.0)
                )
    return (pd.DataFrame(table, columns=mot.COLUMNS) for table in (rows, found))


def trackeval_runner(gt_root, results_dir, work, benchmark):
    """TrackEval's own evaluation of files: {sequence: {measure: {field: value}}}."""
    names = [folder.name for folder in sorted(gt_root.iterdir())]
    data = work / "trackers" / "ours" / "data"
    data.parent.mkdir(parents=True)
    data.symlink_to(results_dir, target_is_directory=True)
    quiet = {"PRINT_RESULTS": False, "PRINT_CONFIG": False, "TIME_PROGRESS": False, "LOG_ON_ERROR": None}
    off = {"OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False, "PLOT_CURVES": False, "USE_PARALLEL": False}
    dataset = trackeval.datasets.MotChallenge2DBox(
        {
            "GT_FOLDER": str(gt_root),
            "TRACKERS_FOLDER": str(work / "trackers"),
            "SKIP_SPLIT_FOL": True,
            "SEQ_INFO": dict.fromkeys(names),
            "BENCHMARK": benchmark,
            "PRINT_CONFIG": False,
        }
    )
    metrics = trackeval.metrics
    measures = [
        metrics.HOTA(),
        metrics.CLEAR({"PRINT_CONFIG": False}),
        metrics.Identity({"PRINT_CONFIG": False}),
    ]
    result, _ = trackeval.Evaluator(quiet | off).evaluate([dataset], measures)
    return {name: row["pedestrian"] for name, row in result["MotChallenge2DBox"]["ours"].items()}


def test_equals_trackevals_own_runner(tmp_path):
    for name, seed in {"A": 0, "B": 1, "C": 2}.items():
        gt, results = random_sequence(seed)
        write_sequence(tmp_path / "gt", name, gt, 40)
        mot.write_results(tmp_path / "results" / f"{name}.txt", results)
    ours = evaluate(tmp_path / "gt", tmp_path / "results")
    theirs = trackeval_runner(tmp_path / "gt", tmp_path / "results", tmp_path, "MOT17")
    fields = {"CLEAR": "MT PT ML CLR_FP CLR_FN IDSW Frag MOTA MOTP CLR_Re CLR_Pr", "Identity": "IDF1 IDP IDR"}
    names = {"CLR_FP": "FP", "CLR_FN": "FN", "IDSW": "IDs", "Frag": "FM", "CLR_Re": "Rcll", "CLR_Pr": "Prcn"}
    for row, name in zip(ours.index, ["A", "B", "C", "COMBINED_SEQ"], strict=True):
        for measure, keys in fields.items():
            for key in keys.split():
                assert ours.loc[row, names.get(key, key)] == pytest.approx(
                    theirs[name][measure][key], abs=1e-12
                )
        for key in ("HOTA", "DetA", "AssA"):
            assert ours.loc[row, key] == pytest.approx(theirs[name]["HOTA"][key].mean(), abs=1e-12)
    assert ours.loc["OVERALL", "IDs"] > 0 and ours.loc["OVERALL", "FP"] > 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_overall_pools_counts(two_sequences, protocol):
    table = evaluate(*two_sequences, protocol)
    assert list(table.index) == ["A", "B", "OVERALL"] and list(table.columns) == COLUMNS
    assert all(table[name].dtype == np.int64 for name in COUNTS)
    assert table.attrs["protocol"] == protocol
    assert table.loc["OVERALL", ["GT", "MT", "PT", "FP", "FN"]].tolist() == [2, 1, 1, 1, 3]
    assert table["Prcn"].tolist() == pytest.approx([1, 1 / 2, 5 / 6])  # the mean would be 3/4
    assert table["MOTA"].tolist() == pytest.approx([1, 0, 1 - 4 / 8])
    assert table["IDF1"].tolist() == pytest.approx([1, 2 / 6, 10 / 14])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_found_and_nothing_there(protocol):
    some, none = boxes((1, 1, 0), (2, 1, 0)), boxes()
    missed = evaluate_sequence(some, none, protocol)
    assert (missed["GT"], missed["ML"], missed["FN"], missed["FP"]) == (1, 1, 2, 0)
    assert missed["MOTA"] == missed["IDF1"] == missed["Prcn"] == missed["HOTA"] == 0
    invented = evaluate_sequence(none, some, protocol)
    assert (invented["GT"], invented["FN"], invented["FP"]) == (0, 0, 2)
    assert invented["MOTA"] == invented["MOTP"] == invented["Rcll"] == invented["HOTA"] == 0
    assert set(evaluate_sequence(none, none, protocol).values()) == {0}
    counts = {
        "missed": evaluation.count(some, none, protocol),
        "invented": evaluation.count(none, some, protocol),
    }
    assert evaluation.summarize(counts).loc["OVERALL", "MOTA"] == 1 - (2 + 2) / 2


def test_boxes_without_area_match_nothing():
    flat = boxes((1, 1, 0), size=0)
    for protocol in PROTOCOLS:
        measured = evaluate_sequence(flat, flat, protocol)
        assert (measured["FP"], measured["FN"]) == (1, 1)


tracks = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(0, 60)),
    max_size=16,
    unique_by=lambda row: row[:2],
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(tracks, tracks, st.randoms(use_true_random=False), st.sampled_from(PROTOCOLS))
def test_counts_add_up_in_any_order_of_rows(objects, found, random, protocol):
    gt, results = boxes(*objects), boxes(*found)
    measured = evaluate_sequence(gt, results, protocol)
    assert measured["FP"] - measured["FN"] == len(found) - len(objects)
    assert measured["MT"] + measured["PT"] + measured["ML"] == measured["GT"] == gt["id"].nunique()
    assert all(0 <= measured[name] <= 1 for name in COLUMNS if name not in [*COUNTS, "MOTA"])
    random.shuffle(objects)
    random.shuffle(found)
    assert evaluate_sequence(boxes(*objects), boxes(*found), protocol) == measured


@settings(deadline=None, max_examples=40)
@given(tracks.filter(bool), st.integers(1, 10**6), st.sampled_from(PROTOCOLS))
def test_ground_truth_as_its_own_result_is_perfect(objects, offset, protocol):
    # Objects a box apart: were two on one spot, which of them a result belongs to would be anybody's guess.
    gt = boxes(*[(frame, identity, 100 * identity) for frame, identity, _ in objects])
    measured = evaluate_sequence(gt, gt.assign(id=gt["id"] + offset), protocol)
    ratios = {name: measured[name] for name in COLUMNS if name not in COUNTS}
    assert ratios == pytest.approx(dict.fromkeys(ratios, 1.0))
    assert measured["FP"] == measured["FN"] == measured["IDs"] == 0


# --- bad input ----------------------------------------------------------------------------------------------


def test_unknown_protocol_names_the_choices(two_sequences):
    with pytest.raises(ValueError, match=r"'official'.*motchallenge, plain"):
        evaluate(*two_sequences, protocol="official")


def test_protocols_never_share_a_table():
    counts = {name: evaluation.count(boxes((1, 1, 0)), boxes(), name) for name in PROTOCOLS}
    with pytest.raises(ValueError, match="one protocol, not of motchallenge, plain"):
        evaluation.summarize(counts)


def test_sequences_and_files_must_correspond(two_sequences):
    gt, results = two_sequences
    (results / "B.txt").rename(results / "C.txt")
    with pytest.raises(ValueError, match="no result file for B"):
        evaluate(gt, results)
    with pytest.warns(mot.MotFormatWarning, match=r"passed over.*: C\.txt$"):
        evaluate(gt, results, sequences=["A"])
    (results / "C.txt").unlink()
    assert list(evaluate(gt, results, sequences=["A"]).index) == ["A", "OVERALL"]
    with pytest.raises(ValueError, match="no ground truth for Z"):
        evaluate(gt, results, sequences=["A", "Z"])


def test_folders_missing_or_swapped(two_sequences, tmp_path):
    gt, results = two_sequences
    with pytest.raises(NotADirectoryError, match="nowhere"):
        evaluate(gt, tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="nowhere"):
        evaluate(tmp_path / "nowhere", results)
    with pytest.raises(mot.MotFormatError, match="results: no MOTChallenge sequence"):
        evaluate(results, gt)
    with pytest.raises(ValueError, match="swapped"):
        evaluate(gt, gt)


def test_one_name_for_two_sequences(two_sequences):
    gt, results = two_sequences
    write_sequence(gt / "half", "A", boxes((1, 1, 0)), 4)
    with pytest.raises(ValueError, match="more than one sequence is called A"):
        evaluate(gt, results)


@pytest.mark.parametrize(
    "line, message",
    [
        ("5,5,0,0,20,20,1,-1,-1,-1", "A has only 4 frames"),
        ("2,-1,0,0,20,20,1,-1,-1,-1", "needs a track id"),
        ("1,5,0,0,20,20,1,-1,-1,-1", "twice"),
        ("2,5,0,0,20", "columns"),
        ("2,5,0,0,20,nan,1,-1,-1,-1", "nan"),
    ],
)
def test_a_bad_result_row_is_named(two_sequences, line, message):
    gt, results = two_sequences
    (results / "A.txt").write_text(f"1,5,0,0,20,20,1,-1,-1,-1\n\n{line}\n")
    with pytest.raises(mot.MotFormatError, match=message) as error:
        evaluate(gt, results)
    assert error.value.line == 3 and error.value.path == results / "A.txt"


def test_ground_truth_given_as_results(two_sequences):
    gt, results = two_sequences
    mot.write_ground_truth(results / "A.txt", boxes((1, 1, 0), (1, 2, 0)).assign(cls=[1, 7]))
    with pytest.raises(mot.MotFormatError, match=r"A.txt:2: .*is this a gt file"):
        evaluate(gt, results)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda table: table.drop(columns="x2"), "results lack the columns x2"),
        (lambda table: table.assign(y1=np.nan), "results hold a number that is not finite"),
        (lambda table: pd.concat([table, table]), "results hold id 1 twice in frame 1"),
    ],
)
def test_bad_tables(spoil, message):
    with pytest.raises(ValueError, match=message):
        evaluate_sequence(boxes((1, 1, 0)), spoil(boxes((1, 1, 0))))


# --- real data ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not (LIF_T and LIF_T.is_file()), reason="needs DEEPMOT_DATA with Lif_T's result files")
def test_lif_t_gives_the_official_totals(tmp_path):
    with tarfile.open(LIF_T) as archive:
        archive.extractall(tmp_path, filter="data")
    table = evaluate(Path(DATA) / "MOT17-labels", tmp_path / "MOT17-train")
    assert len(table) == 22
    totals = {"FP": 2655, "FN": 107803, "IDs": 791, "FM": 1153, "MT": 679, "PT": 595, "ML": 364}
    assert {name: table.loc["OVERALL", name] for name in totals} == totals
