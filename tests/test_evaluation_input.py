"""Evaluation of what users bring: every number as TrackEval's own runner counts it, or a clear word."""

import numpy as np
import pytest
import trackeval

from deepmot_lib.__main__ import main
from deepmot_lib.data import mot
from deepmot_lib.evaluation import EvaluationWarning, evaluate, evaluate_sequence


def write_sequence(root, name, gt, length=2):
    (root / name / "gt").mkdir(parents=True)
    (root / name / "gt" / "gt.txt").write_text(gt)
    (root / name / "seqinfo.ini").write_text(
        f"[Sequence]\nname={name}\nseqLength={length}\nimWidth=640\nimHeight=480\nframeRate=25\nimDir=img1\n"
    )


def write_results(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.txt").write_text(text)


def trackeval_counts(gt_root, results, work, official):
    """What TrackEval's own runner counts, over all sequences: {GT, FP, FN, IDs, MOTA, IDF1, HOTA}."""
    data = work / "trackers" / "ours" / "data"
    data.parent.mkdir(parents=True)
    data.symlink_to(results, target_is_directory=True)
    quiet = {"PRINT_CONFIG": False}
    runner = {"PRINT_RESULTS": False, "TIME_PROGRESS": False, "LOG_ON_ERROR": None, "USE_PARALLEL": False}
    files = {"OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False, "PLOT_CURVES": False}
    dataset = {
        "GT_FOLDER": str(gt_root),
        "TRACKERS_FOLDER": str(work / "trackers"),
        "SKIP_SPLIT_FOL": True,
        "SEQ_INFO": dict.fromkeys(folder.name for folder in sorted(gt_root.iterdir())),
        "BENCHMARK": official,
    }
    metrics = trackeval.metrics
    found, _ = trackeval.Evaluator(runner | files | quiet).evaluate(
        [trackeval.datasets.MotChallenge2DBox(dataset | quiet)],
        [metrics.HOTA(), metrics.CLEAR(quiet), metrics.Identity(quiet)],
    )
    found = found["MotChallenge2DBox"]["ours"]["COMBINED_SEQ"]["pedestrian"]
    clear = found["CLEAR"]
    return {
        "GT": clear["MT"] + clear["PT"] + clear["ML"],
        "FP": clear["CLR_FP"],
        "FN": clear["CLR_FN"],
        "IDs": clear["IDSW"],
        "MOTA": clear["MOTA"],
        "IDF1": found["Identity"]["IDF1"],
        "HOTA": found["HOTA"]["HOTA"].mean(),
    }


def assert_as_trackeval(gt_root, results, work, official, **options):
    """OVERALL is what TrackEval counts; returns it."""
    theirs = trackeval_counts(gt_root, results, work, official)
    ours = evaluate(gt_root, results, **options).loc["OVERALL"]
    assert ours[list(theirs)].to_dict() == pytest.approx(theirs, abs=1e-12)
    return ours


# --- classes ------------------------------------------------------------------------------------------------

BOXES = ["100,100,40,80", "300,100,40,80", "500,100,40,80"]  # of a pedestrian, a car and a distractor
CLASSES = [(1, 1, "1.0"), (2, 3, "1.0"), (3, 8, "1.0")]


def three_classes(row):
    return "".join(
        f"{frame},{identity},{box},1,{row.format(cls=cls, visibility=visibility)}\n"
        for frame in (1, 2)
        for (identity, cls, visibility), box in zip(CLASSES, BOXES, strict=True)
    )


# The results find the pedestrian and the distractor.
TWO_FOUND = "".join(
    f"{frame},{k},{box},1,-1,-1,-1\n" for frame in (1, 2) for k, box in ((1, BOXES[0]), (3, BOXES[2]))
)


@pytest.mark.filterwarnings("ignore::deepmot_lib.data.mot.MotFormatWarning")
@pytest.mark.parametrize("row", ["{cls},{visibility}", "{cls},{visibility},-1", "{cls}", "{cls},-1,-1"])
def test_classes_count_in_every_number_of_columns(tmp_path, row):
    write_sequence(tmp_path / "gt", "A", three_classes(row))
    write_results(tmp_path / "results", "A", TWO_FOUND)
    ours = assert_as_trackeval(tmp_path / "gt", tmp_path / "results", tmp_path, "MOT17")
    assert (ours["GT"], ours["FP"], ours["MOTA"]) == (1, 0, 1.0)


def test_world_coordinates_stay_world_coordinates(tmp_path):
    """MOT15's ten columns: three people, two of them found."""
    write_sequence(tmp_path / "gt", "A", three_classes("4.4852,5.5016,0"))
    write_results(tmp_path / "results", "A", TWO_FOUND)
    ours = assert_as_trackeval(tmp_path / "gt", tmp_path / "results", tmp_path, "MOT15")
    assert (ours["GT"], ours["FN"]) == (3, 2) and ours["MOTA"] == pytest.approx(2 / 3)


def test_the_reading_that_was_taken_is_told_and_can_be_changed(tmp_path, capsys):
    write_sequence(tmp_path / "gt", "A", three_classes("{cls},{visibility},-1"))
    write_results(tmp_path / "results", "A", TWO_FOUND)
    arguments = ["evaluate", "--gt", str(tmp_path / "gt"), "--results", str(tmp_path / "results")]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    file = tmp_path / "gt" / "A" / "gt" / "gt.txt"
    assert printed.err.startswith(f"deepmot: {file}: columns 8 and 9 are read as class and visibility")
    assert printed.err.count("\n") == 1
    assert main([*arguments, "--benchmark", "MOT15"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[6] == "3"  # GT
    with pytest.warns(mot.MotFormatWarning, match="--benchmark MOT15 looks at no class"):
        ours = assert_as_trackeval(
            tmp_path / "gt", tmp_path / "results", tmp_path, "MOT15", benchmark="MOT15"
        )
    assert ours["GT"] == 3


@pytest.mark.parametrize("name, benchmark", [("MOT20-01", None), ("street", "MOT20"), ("MOT17-02", None)])
def test_the_benchmarks_distractors(tmp_path, name, benchmark):
    """Class 6, a non-motorized vehicle, is a distractor of MOT20 alone."""
    write_sequence(tmp_path / "gt", name, f"1,1,{BOXES[0]},1,1,1\n1,2,{BOXES[1]},0,6,1\n")
    write_results(tmp_path / "results", name, f"1,1,{BOXES[0]},1,-1,-1,-1\n1,2,{BOXES[1]},1,-1,-1,-1\n")
    official = benchmark or name[:5]
    ours = assert_as_trackeval(tmp_path / "gt", tmp_path / "results", tmp_path, official, benchmark=benchmark)
    assert (ours["FP"], ours["MOTA"]) == ((0, 1) if official == "MOT20" else (1, 0))
    gt = mot.read_ground_truth(tmp_path / "gt" / name / "gt" / "gt.txt")
    results = mot.read_boxes(tmp_path / "results" / f"{name}.txt")
    assert evaluate_sequence(gt, results, benchmark=official)["FP"] == ours["FP"]


def test_a_random_mot20_sequence_equals_trackeval(tmp_path):
    rng = np.random.default_rng(0)
    gt, results = [], []
    for frame in range(1, 31):
        for k, (x, y) in enumerate(rng.uniform(0, 200, (15, 2))):
            cls = [1, 2, 3, 6, 7, 8, 12][k % 7]
            gt.append(f"{frame},{k + 1},{x:.1f},{y:.1f},40,80,{int(cls == 1)},{cls},1")
            if rng.random() < 0.8:
                results.append(f"{frame},{k + 30},{x + rng.normal(0, 4):.1f},{y:.1f},40,80,1,-1,-1,-1")
    write_sequence(tmp_path / "gt", "MOT20-07", "\n".join(gt), 30)
    write_results(tmp_path / "results", "MOT20-07", "\n".join(results))
    ours = assert_as_trackeval(tmp_path / "gt", tmp_path / "results", tmp_path, "MOT20")
    assert (
        evaluate(tmp_path / "gt", tmp_path / "results", benchmark="MOT17").loc["OVERALL", "FP"]
        > ours["FP"]
        > 0
    )


@pytest.mark.parametrize(
    "names, options, told",
    [
        (["MOT20-01"], [], "benchmark MOT20 by name; "),
        (["MOT17-02-SDP"], [], "benchmark MOT17 by name; "),
        (["MOT170", "street"], [], "benchmark MOT17 by default; "),
        (["MOT20-01", "street"], [], "benchmark MOT17 by default; benchmark MOT20 by name; "),
        (["MOT17-01", "street"], [], "benchmark MOT17 by default; benchmark MOT17 by name; "),
        (["MOT20-01", "street"], ["--benchmark", "MOT16"], "benchmark MOT16 as asked; "),
        (["street"], ["--protocol", "plain"], ""),
        (["street"], ["--classes", "1", "4"], "benchmark MOT17 by default; classes 1, 4; "),
        (["street"], ["--part", "test"], "benchmark MOT17 by default; part test; "),
    ],
)
def test_the_benchmark_that_was_taken_is_printed(tmp_path, capsys, names, options, told):
    for name in names:
        write_sequence(tmp_path / "gt", name, f"1,1,{BOXES[0]},1,1,1\n4,1,{BOXES[0]},1,1,1\n", 4)
        write_results(tmp_path / "results", name, f"4,1,{BOXES[0]},1,-1,-1,-1\n")
    assert (
        main(["evaluate", "--gt", str(tmp_path / "gt"), "--results", str(tmp_path / "results"), *options])
        == 0
    )
    first = capsys.readouterr().out.splitlines()[0]
    protocol = "plain" if "plain" in options else "motchallenge"
    assert first == f"protocol: {protocol} ({told}ratios in %, MOTP: mean overlap, up is better)"


def test_an_unknown_benchmark_names_the_choices(tmp_path):
    with pytest.raises(ValueError, match=r"'DanceTrack'.*MOT15, MOT16, MOT17, MOT20"):
        evaluate(tmp_path, tmp_path, benchmark="DanceTrack")


# --- no row counts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end, words",
    [
        (
            "1,0,1",
            [
                "none of its 2 ground-truth rows",
                "motchallenge",
                "2 of class 0",
                "--classes 0",
                "--protocol plain",
            ],
        ),
        ("1,80", ["where class 1 counts", "2 of class 80", "--classes 80"]),
        ("0,1,1", ["all have the flag 0"]),
    ],
)
def test_nothing_that_counts_is_an_error(tmp_path, capsys, end, words):
    write_sequence(tmp_path / "gt", "A", f"1,1,{BOXES[0]},{end}\n2,1,{BOXES[0]},{end}\n")
    write_results(tmp_path / "results", "A", f"1,1,{BOXES[0]},1,-1,-1,-1\n2,1,{BOXES[0]},1,-1,-1,-1\n")
    with pytest.raises(ValueError, match="A: ") as caught:
        evaluate(tmp_path / "gt", tmp_path / "results")
    assert [word for word in words if word not in str(caught.value)] == []
    assert main(["evaluate", "--gt", str(tmp_path / "gt"), "--results", str(tmp_path / "results")]) == 1
    assert capsys.readouterr().err == f"deepmot: {caught.value}\n"
    gt, results = (
        mot.read_ground_truth(tmp_path / "gt/A/gt/gt.txt"),
        mot.read_boxes(tmp_path / "results/A.txt"),
    )
    with pytest.warns(EvaluationWarning, match=r"none of its 2 ground-truth rows is evaluated"):
        assert evaluate_sequence(gt, results)["GT"] == 0


@pytest.mark.parametrize("options", [{"protocol": "plain"}, {"classes": [0]}, {"classes": [0, 3]}])
def test_what_helps_helps(tmp_path, options):
    write_sequence(tmp_path / "gt", "A", f"1,1,{BOXES[0]},1,0,1\n2,1,{BOXES[0]},1,0,1\n")
    write_results(tmp_path / "results", "A", f"1,7,{BOXES[0]},1,-1,-1,-1\n")
    ours = evaluate(tmp_path / "gt", tmp_path / "results", **options).loc["A"]
    assert (ours["GT"], ours["FN"], ours["MOTA"]) == (1, 1, 0.5)


def test_one_sequence_of_several_is_a_warning(tmp_path):
    for name, cls in (("A", 1), ("B", 0)):
        write_sequence(tmp_path / "gt", name, f"1,1,{BOXES[0]},1,{cls},1\n")
        write_results(tmp_path / "results", name, f"1,1,{BOXES[0]},1,-1,-1,-1\n")
    with pytest.warns(EvaluationWarning, match="B: none of its 1 ground-truth rows") as caught:
        table = evaluate(tmp_path / "gt", tmp_path / "results")
    assert len(caught) == 1 and table["GT"].tolist() == [1, 0, 1] and table["FP"].tolist() == [0, 1, 1]


def test_a_class_that_is_asked_for_is_no_distractor(tmp_path):
    """Class 7, a static person: evaluated as such, results on it count and may name it."""
    write_sequence(
        tmp_path / "gt", "A", f"1,1,{BOXES[0]},1,1,1\n1,2,{BOXES[1]},1,7,1\n1,3,{BOXES[2]},1,8,1\n"
    )
    found = "".join(
        f"1,{k},{box},1,{cls},1\n" for k, (box, cls) in enumerate(zip(BOXES, (7, 7, 1), strict=True))
    )
    write_results(tmp_path / "results", "A", found)
    ours = evaluate(tmp_path / "gt", tmp_path / "results", classes=[1, 7]).loc["A"]
    assert (ours["GT"], ours["FP"], ours["FN"]) == (2, 0, 0)
    with pytest.raises(mot.MotFormatError, match=r"A\.txt:1: a result of another class"):
        evaluate(tmp_path / "gt", tmp_path / "results")
    with pytest.raises(ValueError, match="classes must name one"):
        evaluate(tmp_path / "gt", tmp_path / "results", classes=[])


@pytest.mark.parametrize("row", ["3", "3,1", "3,1,-1"])
def test_results_of_another_class_are_refused_as_by_trackeval(tmp_path, row):
    write_sequence(tmp_path / "gt", "A", f"1,1,{BOXES[0]},1,1,1\n")
    write_results(tmp_path / "results", "A", f"1,1,{BOXES[0]},0.9,{row}\n")
    with pytest.raises(trackeval.utils.TrackEvalException, match="only valid for pedestrian class"):
        trackeval_counts(tmp_path / "gt", tmp_path / "results", tmp_path, "MOT17")
    with pytest.raises(mot.MotFormatError, match=r"A\.txt:1: a result of another class"):
        evaluate(tmp_path / "gt", tmp_path / "results")


def test_ground_truth_without_ids_is_refused(tmp_path):
    boxes = "".join(
        f"{frame},-1,{left},100,40,80,1,1,1\n" for frame, left in enumerate((100, 102, 500, 502), 1)
    )
    write_sequence(tmp_path / "gt", "A", boxes, 4)
    write_results(tmp_path / "results", "A", boxes.replace(",-1,", ",1,", 4))
    with pytest.raises(mot.MotFormatError, match=r"gt\.txt:1: ground truth needs a track id"):
        evaluate(tmp_path / "gt", tmp_path / "results")
