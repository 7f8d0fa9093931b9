"""``deepmot track``: tracks of a sequence, a film or a folder of pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .checks import check_output, frame_rate

SUMMARY = "tracks of people in a film, a folder of pictures or a MOTChallenge sequence"
EXAMPLES = """
  deepmot track film.mp4                                writes film.txt, tracks in MOTChallenge's format
  deepmot track film.mp4 --video tracked.mp4            also draws them
  deepmot track MOT17/train/MOT17-09-SDP --out results/MOT17-09-SDP.txt
  deepmot track pictures --fps 10 --video tracked.mp4   the pictures tell no frame rate

People are found by the public detections of a sequence (det/det.txt), and by Tracktor's own detector where
there are none.
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``deepmot track``."""
    parser.add_argument(
        "input",
        type=Path,
        metavar="FILM|FOLDER",
        help="video file, folder of numbered pictures, or MOTChallenge sequence (img1/, det/det.txt)",
    )
    parser.add_argument(
        "--tracker",
        default="tracktor",
        choices=["tracktor", "goturn", "siamrpn"],
        help="default: %(default)s",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="result file to write or replace (default: NAME.txt in the working directory, after the input)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="of that tracker (default: those that ship, else the best that notebook 07 has left here)",
    )
    parser.add_argument("--video", type=Path, metavar="FILE", help="also draw the tracks: .mp4 or .gif")
    parser.add_argument(
        "--fps",
        type=frame_rate,
        metavar="F",
        help="frames per second of the video (default: the input's, or 25 where it tells none)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Track the input and write the results; draw them where a video is asked for."""
    from ..data import inputs, video_files
    from ..experiments import default_weights

    # All that can go wrong without torch, which takes seconds to import.
    kind = inputs.kind_of(arguments.input)
    out = arguments.out or Path(f"{_name(arguments.input, kind)}.txt")
    read = [arguments.input] if kind == "film" else []
    read += [arguments.weights] if arguments.weights and arguments.weights.is_file() else []
    check_output(out, "--out", *read)
    if arguments.video:
        video_files.format_of(arguments.video)
        check_output(arguments.video, "--video", *read)
        if arguments.video.resolve() == out.resolve():
            raise ValueError(f"--video {arguments.video}: is the file of --out")
    choice = default_weights.choose(arguments.tracker, arguments.weights)
    public = kind == "sequence" and (arguments.input / "det" / "det.txt").is_file()
    if not public and choice.detector is None:
        message = "no detections beside it, and no weights of Tracktor here, which could find people instead"
        raise ValueError(f"{arguments.input}: {message}")
    sequence = inputs.open_input(arguments.input)

    import torch

    from ..data import mot, video

    networks = default_weights.pipeline(choice, "cuda" if torch.cuda.is_available() else "cpu")
    print(choice.description(public))
    if choice.caution:
        print(f"deepmot: {choice.caution}", file=sys.stderr)
    boxes = networks.track(sequence, progress=True)
    mot.write_results(out, boxes)
    print(f"{out} holds {boxes['id'].nunique()} tracks in {sequence.length} frames")
    if boxes.empty:
        print("nobody was found in any frame")
    if arguments.video:
        video.write(arguments.video, sequence, boxes, frame_rate=arguments.fps)
        print(f"{arguments.video} shows them")


def _name(path: Path, kind: str) -> str:
    return path.stem if kind == "film" else path.absolute().name
