"""Archives of data, unpacked or refused: damaged, encrypted, oversized, leading out of their folder."""

from __future__ import annotations

import errno
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from .files import WRITE_ERRORS, named

#: What an archive may unpack to: pictures hardly grow, rows of numbers five times.
_LARGEST_FACTOR = 20
_LARGEST_SMALL = 64 << 20  # bytes, however small the archive is
#: What the machine fails with; all else is the archive's fault.
_SYSTEM_ERRORS = (*WRITE_ERRORS, errno.EACCES, errno.EPERM, errno.EROFS)


class ArchiveError(ValueError):
    """An archive that is not unpacked; the message names it, the member and the reason."""


def unpack(archive: str | Path, folder: str | Path) -> None:
    """Unpack a ``.zip``, or else a tar file, into a folder.

    Args:
        archive: The file.
        folder: Where to; it is made. Nothing is written outside of it.

    Raises:
        ArchiveError: The archive is damaged or encrypted, a member cannot be written, or all of them are more
            than 64 MiB and 20 times as large as the archive. A part may have been unpacked.
        OSError: The archive cannot be opened, or the disk is full; the message names the folder then.
    """
    archive, folder = Path(archive), Path(folder)
    kind, members = ("zip", _unpack_zip) if archive.suffix.lower() == ".zip" else ("tar", _unpack_tar)
    with open(archive, "rb"):  # an error about the archive keeps its name
        folder.mkdir(parents=True, exist_ok=True)
    member = ""
    try:
        for name in members(archive, folder):
            member = name  # unpacked before the next is named
    except ArchiveError:
        raise
    except Exception as error:  # damage makes zipfile, tarfile and the decoders raise almost anything
        if isinstance(error, OSError) and error.errno in _SYSTEM_ERRORS:
            raise named(error, folder) from error
        what = f"{member} cannot be unpacked" if member else f"no whole {kind} file"
        raise ArchiveError(f"{archive}: {what} ({error or type(error).__name__})") from error


def _unpack_zip(archive: Path, folder: Path) -> Iterator[str]:
    """Yield the name of each member before it is unpacked."""
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        _check_size(archive, sum(member.file_size for member in members))  # no more than this is read
        for member in tqdm(members, unit=" files", desc=f"unpacking {archive.name}"):
            yield member.filename
            file.extract(member, folder)


def _unpack_tar(archive: Path, folder: Path) -> Iterator[str]:
    """Yield the name of each member before it is unpacked."""
    with tarfile.open(archive) as file:
        total = 0
        for member in file:
            total += member.size
            _check_size(archive, total)
        while chunk := file.fileobj.read(1 << 20):  # to the end, where gzip has its checksum
            total += len(chunk)
            _check_size(archive, total)
        for member in tqdm(file.getmembers(), unit=" files", desc=f"unpacking {archive.name}"):
            yield member.name
            file.extract(member, folder, filter="data")


def _check_size(archive: Path, total: int) -> None:
    packed = archive.stat().st_size
    if total > max(_LARGEST_SMALL, _LARGEST_FACTOR * packed):
        raise ArchiveError(
            f"{archive}: its {packed:,} bytes would unpack to {total:,}, more than pictures and boxes do; "
            "unpack it by hand if that is right"
        )
