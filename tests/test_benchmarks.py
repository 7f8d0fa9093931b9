"""The benchmarks' table, and that what they compare is the same thing; no timing."""

import importlib
import math
from pathlib import Path

import pytest
import torch

from benchmarks import Ratio, bench_loss, bench_trackers, run
from deepmot_lib.loss import DeepMOTLoss

FASTER, SLOWER = Ratio("a", 25.0, 20.0, True), Ratio("b", 1.25, 1.0, False)


def test_targets():
    assert FASTER.is_met and Ratio("a", 20.0, 20.0, True).is_met and not Ratio("a", 19.9, 20.0, True).is_met
    assert not SLOWER.is_met and Ratio("b", 1.0, 1.0, False).is_met and Ratio("b", 0.4, 1.0, False).is_met
    assert not Ratio("c", math.nan, 1.0, False).is_met and not Ratio("c", math.nan, 1.0, True).is_met
    assert str(SLOWER) == "b: 1.25 (target at most 1: missed)"


@pytest.mark.parametrize(("second", "status"), [(SLOWER, 1), (FASTER, 0)])
def test_one_table_of_all(second, status, monkeypatch, capsys):
    found = {f"benchmarks.{file.stem}" for file in Path(run.__file__).parent.glob("bench_*.py")}
    assert {"benchmarks.bench_loss", "benchmarks.bench_evaluation"} <= found
    for name in found:
        module = importlib.import_module(name)
        rows = [second] if name.endswith("bench_loss") else [FASTER]
        monkeypatch.setattr(module, "run", lambda rows=rows: rows)
    assert run.main() == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Device: ") and "Commit: " in lines[0]
    assert lines[2] == "| what | ratio | target | met |" and len(lines) == 4 + len(found)
    assert lines.count("| a | 25.00 | at least 20 | yes |") == len(found) - status
    assert lines.count("| b | 1.25 | at most 1 | no |") == status


def test_the_loop_is_the_same_loss():
    loop, ours = bench_loss.LoopLoss(), DeepMOTLoss()
    for distance, soft, tracks, objects in bench_loss.frames(3):
        few = slice(0, 40)  # enough to have matches among them
        frame = (distance[few, few], soft[few, few], tracks[few], objects[few])
        for a, b in zip(bench_loss.step(loop, frame), bench_loss.step(ours, frame), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_repeated_sequence_goes_forwards_and_backwards(tmp_path):
    found = bench_trackers.repeated(tmp_path, 9, of=4)
    assert found.length == 9 and found.image_size == (96, 128)
    same = [(1, 7), (2, 6), (2, 8), (3, 5), (3, 9)]
    assert all((found.image(a) == found.image(b)).all() for a, b in same)
    assert not (found.image(1) == found.image(4)).all()
    detections = found.detections()
    for a, b in same:
        first, second = (detections[detections["frame"] == frame]["x1"].tolist() for frame in (a, b))
        assert first == second and len(first) > 0
