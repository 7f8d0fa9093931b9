"""MOTChallenge's archives, fetched from where they are published and unpacked; resumes what broke off.

No registration is needed; the data is under CC BY-NC-SA 3.0. Whoever has it already only sets
``DEEPMOT_DATA`` to its folder: ``mot.find_sequences`` finds sequences in any of the usual layouts.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from .archives import ArchiveError, unpack
from .files import WRITE_ERRORS, named, temporary_folder
from .mot import find_sequences

SITE = "https://motchallenge.net/data"
DATASETS = ("MOT15", "MOT16", "MOT17")  # about 1.3, 2 and 5.5 GB
_CHUNK = 1 << 20


def fetch(dataset: str, out: str | os.PathLike[str], site: str = SITE) -> Path:
    """Makes ``out/DATASET`` hold the sequences of MOT15, MOT16 or MOT17, and returns it; what is there stays.

    The archive grows as ``out/DATASET.zip.part``, from which another run goes on after an interruption. The
    folder appears only when it is complete and holds sequences. An archive that is there already, such as one
    got by hand, is taken if it can be, else downloaded anew.

    Raises:
        ValueError: The data set is unknown, the archive is damaged or holds no sequences, or the folder is
            there and holds none.
        OSError: The site cannot be reached, the connection breaks, or the disk is full.
    """
    if dataset not in DATASETS:
        raise ValueError(f"unknown data set {dataset!r}: choose one of {', '.join(DATASETS)}")
    folder, archive = Path(out) / dataset, Path(out) / f"{dataset}.zip"
    if folder.is_dir() and any(folder.iterdir()):
        try:
            find_sequences(folder)
        except ValueError as error:
            raise ValueError(f"{error}; move {folder} away to download it") from error
        return folder
    if archive.is_file():
        try:
            _unpack(archive, folder)
            return folder
        except ArchiveError as error:
            print(f"{error}; downloading it anew", file=sys.stderr)
    _download(f"{site}/{dataset}.zip", archive)
    _unpack(archive, folder)
    return folder


def _download(url: str, file: Path) -> None:
    part = file.with_name(f"{file.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            resumed = response.status == 206  # otherwise the server sends all of it
            done = done if resumed else 0
            size = response.headers["Content-Length"]
            total = done + int(size) if size else None
            with (
                open(part, "ab" if resumed else "wb") as sink,
                tqdm(total=total, initial=done, unit="B", unit_scale=True, desc=file.name) as bar,
            ):
                while chunk := response.read(_CHUNK):
                    sink.write(chunk)
                    bar.update(len(chunk))
                done = sink.tell()
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is left to send, the part is the whole
            raise OSError(f"{url}: {error}; get it by hand and put it at {file}") from error
        total = done
    except (OSError, HTTPException) as error:
        if isinstance(error, OSError) and error.errno in WRITE_ERRORS:
            raise named(error, part) from error
        raise OSError(
            f"{url}: {error}; run again to go on, or get it by hand and put it at {file}"
        ) from error
    if total is not None and done < total:
        raise ConnectionError(f"{url}: broke off after {done} of {total} bytes; run again to go on")
    os.replace(part, file)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack into ``folder``, without the folder of the same name that some of the archives hold."""
    with temporary_folder(folder) as temporary:
        part = temporary / "unpacked"
        unpack(archive, part)
        inner = part / folder.name
        part = inner if inner.is_dir() else part
        try:
            find_sequences(part)
        except ValueError as error:
            reason = str(error).replace(f"{part}: ", "").replace(f"{part}/", "")
            raise ArchiveError(f"{archive}: {reason}") from error
        if hasattr(os, "sync"):
            os.sync()  # to the disk, before the archive is gone
        os.replace(part, folder)
    archive.unlink()
