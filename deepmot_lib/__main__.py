"""The command ``deepmot`` (also ``python -m deepmot_lib``): one sub-command a job.

A sub-command is a function that fills a parser and returns what runs it. What it needs is imported when it
runs, so that ``deepmot --help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def main(argv: list[str] | None = None) -> int:
    """Runs a command line (default: the process's). Returns 0, or 1 after an error, printed in one line."""
    arguments = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            _print_own_warnings()
            arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"deepmot: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("deepmot: interrupted", file=sys.stderr)
        return 130
    return 0


def _print_own_warnings() -> None:
    """Print each warning of the library once, as one line like an error; others stay as they are."""
    usual = warnings.showwarning
    printed: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not category.__module__.startswith("deepmot_lib"):
            usual(message, category, *rest, **more)
        elif str(message) not in printed:
            printed.add(str(message))
            print(f"deepmot: {message}", file=sys.stderr)

    warnings.showwarning = show


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deepmot", description="How To Train Your Deep Multi-Object Tracker."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add(commands, "evaluate", "CLEAR-MOT, identity and HOTA measures of result files", _evaluate)
    _add(commands, "submission", "the archive that MOTChallenge's server takes, checked", _submission)
    _add(commands, "track", "tracks of a sequence, from its public detections", _track)
    data = commands.add_parser("data", help="get or make data").add_subparsers(dest="data", required=True)
    _add(data, "download", "MOT15, MOT16 or MOT17 from motchallenge.net", _download)
    _add(data, "synthetic", "rendered pedestrian sequences in MOTChallenge layout", _synthetic)
    _add(data, "pairs", "training pairs of a Deep Hungarian Net, from ground truth and detections", _pairs)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    fill: Callable[[argparse.ArgumentParser], Callable[[argparse.Namespace], object]],
) -> None:
    """Adds a sub-command: ``fill`` declares its arguments and returns the function that runs it."""
    parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(run=fill(parser))


def _evaluate(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    parser.add_argument(
        "--gt", type=Path, required=True, metavar="DIR", help="folder of MOTChallenge sequences"
    )
    parser.add_argument(
        "--results",
        type=Path,
        required=True,
        nargs="+",
        metavar="DIR",
        help="folder or .zip of SEQUENCE.txt files, one per tracker",
    )
    parser.add_argument(
        "--protocol",
        default="motchallenge",
        help="motchallenge (default; the official preprocessing and counting) or plain (no preprocessing, "
        "counted as the paper's own code did: for MOT15 and own data); never compare numbers of the two",
    )
    parser.add_argument(
        "--benchmark",
        help="MOT15, MOT16, MOT17 or MOT20, whose distractors differ (default: by each sequence's name, "
        "else MOT17)",
    )
    parser.add_argument(
        "--classes",
        type=int,
        nargs="+",
        metavar="CLASS",
        help="evaluate the ground truth of these classes (default: pedestrians, 1; plain: all)",
    )
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="evaluate these only (default: all)")
    parser.add_argument(
        "--part",
        choices=["train", "val", "test"],
        help="evaluate the first half (train), third quarter (val) or last quarter (test) of each sequence",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the table to this file")

    def run(arguments: argparse.Namespace) -> None:
        from . import evaluation

        folders = _by_name(arguments.results)
        table = evaluation.compare(
            arguments.gt,
            folders,
            arguments.protocol,
            arguments.sequences,
            arguments.part,
            arguments.benchmark,
            arguments.classes,
        )
        several = len(folders) > 1
        print(f"protocol: {arguments.protocol} ({_conditions(table, arguments.benchmark)})")
        for tracker in folders:
            print(
                f"\n{tracker}\n" if several else "",
                _percent(table.loc[[tracker]].droplevel("tracker")),
                sep="",
            )
        if several:
            overall = table.query("sequence == @evaluation.OVERALL").droplevel("sequence")
            overall = overall.sort_values("MOTA", ascending=False)
            print(f"\n{evaluation.OVERALL}, best MOTA first\n{_percent(overall[_COMPARED])}")
        for tracker, name in table.query("FP + Rcll == 0").index:
            if name != evaluation.OVERALL:
                print(f"deepmot: {folders[tracker]}: no result for {name} counts", file=sys.stderr)
        if arguments.csv:
            evaluation.write_csv(arguments.csv, table if several else table.droplevel("tracker"))

    return run


_COMPARED = ["MOTA", "HOTA", "IDF1", "MOTP", "MT", "ML", "FP", "FN", "IDs", "FM"]


def _by_name(folders: list[Path]) -> dict[str, Path]:
    """Each tracker's folder by its name, or by its whole path where two have one name (``A/data B/data``)."""
    names = [folder.absolute().name for folder in folders]
    if len(set(names)) < len(names):
        names = list(map(str, folders))
    if len(set(names)) < len(names):
        raise ValueError(f"--results: the same folder twice in {', '.join(names)}")
    return dict(zip(names, folders, strict=True))


def _conditions(table: pd.DataFrame, asked: str | None) -> str:
    """Under what a table's numbers were counted, and how to read them."""
    from .evaluation.protocol import benchmark_of

    told = []
    if table.attrs["protocol"] == "motchallenge":
        for name, benchmark in table.attrs["benchmark"].items():
            why = "as asked" if asked else "by name" if benchmark_of(name) else "by default"
            told.append(f"benchmark {benchmark} {why}")
        told = sorted(set(told))
    if table.attrs["classes"]:
        told.append(f"classes {', '.join(map(str, table.attrs['classes']))}")
    if table.attrs["part"]:
        told.append(f"part {table.attrs['part']}")
    return "; ".join([*told, "ratios in %, MOTP: mean overlap, up is better"])


def _percent(table: pd.DataFrame) -> str:
    """A table of ``evaluation`` to print: ratios in percent, counts as they are."""
    from .evaluation import COUNTS

    shown = table.astype(object)
    for name in table.columns.difference(COUNTS):
        shown[name] = (100 * table[name]).map("{:.1f}".format)
    return shown.rename_axis(None).to_string()


def _submission(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    parser.add_argument(
        "--test",
        type=Path,
        required=True,
        metavar="DIR",
        help="the benchmark's test sequences, MOT17/test itself",
    )
    parser.add_argument(
        "--train",
        type=Path,
        metavar="DIR",
        help="its training sequences, MOT17/train: the server takes no archive without results for them",
    )
    parser.add_argument(
        "--results", type=Path, required=True, metavar="DIR", help="folder of SEQUENCE.txt files"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.zip", help="archive to write")

    def run(arguments: argparse.Namespace) -> None:
        import zipfile

        from .evaluation import submission

        file = submission.write(arguments.results, arguments.test, arguments.out, arguments.train)
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        print(f"{file} holds the checked results of {len(entries)} sequences")
        if empty := [entry.filename for entry in entries if not entry.file_size]:
            print(f"without any result: {', '.join(empty)}")
        if not arguments.train:
            print(f"the server wants training sequences too, {2 * len(entries)} files: add --train DIR")

    return run


def _track(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    parser.add_argument("sequence", type=Path, metavar="SEQUENCE", help="folder with img1/ and det/det.txt")
    parser.add_argument("--tracker", required=True, choices=["tracktor", "goturn", "siamrpn"])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="result file to write")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="of that tracker (default: the best that notebook 07 has left here)",
    )
    parser.add_argument("--video", type=Path, metavar="FILE", help="also draw the tracks: .mp4 or .gif")

    def run(arguments: argparse.Namespace) -> None:
        import torch

        from .data import mot, video
        from .experiments import default_weights

        if arguments.video:
            video.check(arguments.video)
        sequence = mot.Sequence.open(arguments.sequence)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        networks, told = default_weights.pipeline(arguments.tracker, arguments.weights, device)
        print(told)
        boxes = networks.track(sequence, progress=True)
        mot.write_results(arguments.out, boxes)
        print(f"{arguments.out} holds {boxes['id'].nunique()} tracks in {sequence.length} frames")
        if arguments.video:
            video.write(arguments.video, sequence, boxes)
            print(f"{arguments.video} shows them")

    return run


def _download(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    parser.add_argument("dataset", choices=["MOT15", "MOT16", "MOT17"])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to unpack into")

    def run(arguments: argparse.Namespace) -> None:
        import shlex

        from .data import download

        folder = download.fetch(arguments.dataset, arguments.out)
        data = shlex.quote(str(arguments.out.resolve()))
        print(f"{folder} is complete; for notebooks and tests: export DEEPMOT_DATA={data}")

    return run


def _synthetic(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    from .experiments.settings import get

    usual = get("standard").embedded
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write train/ into")
    parser.add_argument(
        "--sequences",
        type=int,
        default=usual.sequences,
        metavar="N",
        help="how many, each with the detections of three detectors (default: %(default)s)",
    )
    parser.add_argument(
        "--frames", type=int, default=usual.frames, metavar="F", help="of each (default: %(default)s)"
    )
    parser.add_argument(
        "--size",
        type=_size,
        default=usual.image_size,
        metavar="HxW",
        help="height and width of the images in pixels (default: {}x{})".format(*usual.image_size),
    )
    _add_seed(parser)

    def run(arguments: argparse.Namespace) -> None:
        from .data import synthetic

        found = synthetic.write_sequences(
            arguments.out, arguments.sequences, arguments.frames, arguments.size, arguments.seed
        )
        print(f"{arguments.out} holds {len(found)} sequences, {found[0].name} to {found[-1].name}")

    return run


def _pairs(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    parser.add_argument(
        "--from",
        dest="root",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of MOTChallenge sequences with ground truth and detections",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="pair file to write")
    parser.add_argument(
        "--part",
        choices=["train", "val", "test"],
        help="only the first half (train), third quarter (val) or last quarter (test) of each sequence",
    )
    _add_seed(parser)

    def run(arguments: argparse.Namespace) -> None:
        from tqdm import tqdm

        from .data import mot, pairs

        found = mot.scan(arguments.root).having("ground truth", "detections")
        if found.skipped:
            print(f"deepmot: skipped: {found.reasons()}", file=sys.stderr)
        made = pairs.generate(tqdm(found.sequences, unit=" sequences"), arguments.part, arguments.seed)
        pairs.write(arguments.out, made)
        print(f"{arguments.out} holds {len(made):,} pairs of {len(found.sequences)} sequences")

    return run


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the same seed gives the same files (default: 0)"
    )


def _size(text: str) -> tuple[int, int]:
    """``HEIGHTxWIDTH`` in pixels."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 480x640")
    return int(height), int(width)


if __name__ == "__main__":
    sys.exit(main())
