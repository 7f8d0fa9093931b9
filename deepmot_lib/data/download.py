"""MOTChallenge's archives, fetched from where they are published and unpacked; resumes what broke off.

No registration is needed; the data is under CC BY-NC-SA 3.0. Whoever has it already only sets
``DEEPMOT_DATA`` to its folder: ``mot.find_sequences`` finds sequences in any of the usual layouts.
"""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from .mot import find_sequences

SITE = "https://motchallenge.net/data"
DATASETS = ("MOT15", "MOT16", "MOT17")  # about 1.3, 2 and 5.5 GB
_CHUNK = 1 << 20


def fetch(dataset: str, out: str | os.PathLike, site: str = SITE) -> Path:
    """Makes ``out/DATASET`` hold the sequences of MOT15, MOT16 or MOT17, and returns it; what is there stays.

    The archive grows as ``out/DATASET.zip.part``, from which another run goes on after an interruption. The
    folder appears only when it is complete. Raises ValueError on an unknown data set or a broken archive,
    OSError where the site cannot be reached or the connection breaks.
    """
    if dataset not in DATASETS:
        raise ValueError(f"unknown data set {dataset!r}: choose one of {', '.join(DATASETS)}")
    folder, archive = Path(out) / dataset, Path(out) / f"{dataset}.zip"
    if not folder.is_dir():
        archive.parent.mkdir(parents=True, exist_ok=True)
        if not archive.is_file():
            _download(f"{site}/{dataset}.zip", archive)
        _unpack(archive, folder)
        archive.unlink()
    find_sequences(folder)
    return folder


def _download(url: str, file: Path) -> None:
    part = file.with_name(f"{file.name}.part")
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
        raise OSError(
            f"{url}: {error}; run again to go on, or get it by hand and put it at {file}"
        ) from error
    if total is not None and done < total:
        raise ConnectionError(f"{url}: broke off after {done} of {total} bytes; run again to go on")
    os.replace(part, file)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpacks into ``folder``, without the folder of the same name that some of the archives hold."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(archive) as files:
            for member in tqdm(files.infolist(), unit=" files", desc=f"unpacking {archive.name}"):
                files.extract(member, part)
        inner = part / folder.name
        os.replace(inner if inner.is_dir() else part, folder)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive}: no whole zip file ({error}); delete it and run again") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
