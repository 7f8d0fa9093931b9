"""``deepmot train``: a tracker on one's own sequences."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .checks import check_output

SUMMARY = "train a tracker on your own MOTChallenge-format sequences"
EXAMPLES = """
  deepmot train --data mine --out mine.safetensors
  deepmot train --data mine --tracker goturn --loss smooth_l1 --steps 200 --out goturn.safetensors
  deepmot track film.mp4 --weights mine.safetensors

Trained on are the first halves of the sequences with img1/ and gt/gt.txt; the third quarters select among the
states of the training, the last quarters are left for evaluation (deepmot evaluate --part test). A training
that was cut off goes on when the same command is run again.
"""
# Those of training.objectives, which takes torch to import; a test compares them.
LOSSES = (
    "smooth_l1",
    "smooth_l1_hungarian",
    "iou_center",
    "dMOTP",
    "dMOTA",
    "dMOTA+dMOTP-IDS",
    "dMOTA+dMOTP",
    "soft_hota",
    "unitrack",
    "vanilla",
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``deepmot train``."""
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder of MOTChallenge-format sequences"
    )
    parser.add_argument(
        "--tracker",
        default="tracktor",
        choices=["tracktor", "goturn", "siamrpn"],
        help="default: %(default)s",
    )
    parser.add_argument(
        "--loss",
        default="dMOTA+dMOTP",
        choices=LOSSES,
        help="default: %(default)s, Eq. 9; vanilla: Tracktor as a detector, the others on pairs of crops",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE.safetensors",
        help="weight file to write; the checkpoint lies beside it, and nothing else is written",
    )
    parser.add_argument(
        "--start",
        metavar="FILE",
        help="weights to start from (default: those of deepmot track); none: a new network, by vanilla",
    )
    parser.add_argument(
        "--steps", type=_steps, metavar="N", help="optimizer steps (default: those of the profile standard)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Train the tracker and write its weights; say what came of it."""
    from ..experiments import default_weights

    out = arguments.out
    if out.suffix != ".safetensors":
        raise ValueError(f"--out {out}: weights are written to a file that ends in .safetensors")
    if not arguments.data.is_dir():
        raise NotADirectoryError(f"--data {arguments.data}: no such folder")
    is_new = arguments.start == "none"
    choice = None if is_new else default_weights.choose(arguments.tracker, arguments.start)
    check_output(out, "--out", *([] if choice is None else [choice.file]))

    import torch

    from ..data import mot
    from ..experiments import own_data, sequences
    from ..trackers.backbones import WeightsError
    from ..training.checkpoint import CheckpointError

    found = mot.scan(arguments.data).having("pictures", "ground truth")
    if found.skipped:
        print(f"deepmot: left out: {found.reasons()}", file=sys.stderr)
    if not found.sequences:
        raise ValueError(f"--data {arguments.data}: no sequence with pictures and ground truth")
    distinct = [group[0] for group in sequences.by_images(found.sequences)]
    training = own_data.OwnTraining(arguments.tracker, arguments.loss, distinct, choice, arguments.steps)
    print(f"start: {'a new network' if choice is None else choice.description()}")
    if choice is not None and choice.caution:
        print(f"deepmot: {choice.caution}", file=sys.stderr)
    frames = sum(len(mot.split(one)["train"]) for one in distinct)
    print(f"data: {sequences.names(distinct)}; {frames} frames, the first halves, to train on")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        history, before, best = training.run(out, device)
    except (CheckpointError, FloatingPointError, WeightsError) as error:
        raise ValueError(str(error)) from error
    first, last = history["loss"].iloc[0], history["loss"].iloc[-1]
    print(
        f"loss {arguments.loss}: {first:.3g} at first, {last:.3g} at last, {history['step'].iloc[-1]} steps"
    )
    if before is not None and best is not None:
        print(f"MOTA on the third quarters: {before:.1%} before, {best:.1%} at best, which is kept")
        if best < before:
            print(
                "deepmot: the training has not helped: the weights that it started from are better",
                file=sys.stderr,
            )
    print(f"{out} holds the weights: deepmot track FILM --tracker {arguments.tracker} --weights {out}")


def _steps(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps")
    return int(text)
