"""Writing a file whole or not at all, whatever ends the process or fills the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: Names of temporary folders, which no pattern for data matches; "new" is not yet locked.
_TEMPORARY = re.compile(r"\.deepmot-(?P<machine>[0-9a-f]{8}|new)-\w+\.tmp")
_ABANDONED_S = 24 * 3600.0  # without a change, where no lock tells
_PROBE = 1 << 20  # bytes
#: What a write can fail with: such an error does not tell the file.
WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name to write to; it replaces ``path`` when the block ends without an error.

    The temporary has the file's own name, for writers that go by the suffix, in a ``temporary_folder``. Its
    content is on the disk before it replaces the file, which keeps its permissions; a new one gets those of
    ``open``. A symbolic link stays one: the file that it points to is replaced. A pipe, a device or the
    standard output cannot be replaced: the content is written into it when it is complete.

    Args:
        path: The file. Its folder is made.

    Raises:
        OSError: The file cannot be written; the message names ``path``. A full disk is reported as
            ``ENOSPC`` even where the writer raised something else.
    """
    path = Path(path)
    found = _status(path)
    descriptor = None if found is None else _descriptor(found)
    replaced = found is None or (stat.S_ISREG(found.st_mode) and descriptor is None)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    with temporary_folder(target if replaced else Path(tempfile.gettempdir(), path.name)) as folder:
        temporary = folder / path.name
        try:
            yield temporary
            _sync(temporary)
        except Exception as error:
            _raise_if_full(temporary, error)
            raise
        if replaced:
            os.chmod(temporary, _new_file_mode(folder) if found is None else stat.S_IMODE(found.st_mode))
            os.replace(temporary, target)
            with suppress(OSError):  # not every file system can sync a folder
                _sync(target.parent)
        else:
            _copy_into(temporary, path, descriptor)


@contextmanager
def temporary_folder(path: str | Path) -> Iterator[Path]:
    """Yield a new folder beside ``path``, on the same file system, which is removed when the block ends.

    Its name is hidden and matches no pattern for data. What killed processes have left beside ``path`` is
    removed first: at once where it was this machine's, else after a day without a change.

    Args:
        path: The file or folder that is to be made. Its parent is made.

    Raises:
        OSError: The folder cannot be made or, in the block, written to; the message names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    try:
        folder = Path(tempfile.mkdtemp(prefix=".deepmot-new-", suffix=".tmp", dir=path.parent))
    except OSError as error:
        raise named(error, path) from error
    try:
        with _lock(folder):
            # Only now may others take an unlocked folder of this name for abandoned.
            random = folder.stem.rpartition("-")[2]
            folder = folder.rename(folder.with_name(f".deepmot-{_machine()}-{random}.tmp"))
            yield folder
    except OSError as error:
        if _is_of_write(error, folder):
            raise named(error, path) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def named(error: OSError, path: str | Path) -> OSError:
    """Return the same error of the system, about ``path``."""
    number = error.errno or errno.EIO
    return OSError(number, os.strerror(number), str(path))


def visible(folder: str | Path, pattern: str) -> list[Path]:
    """List what in ``folder`` matches a pattern, sorted, without hidden files: desktops leave ``._a.txt``."""
    return sorted(path for path in Path(folder).glob(pattern) if not path.name.startswith("."))


# --- what is written to -------------------------------------------------------------------------------------


def _status(path: Path) -> os.stat_result | None:
    """The status of what is at ``path``, None where nothing is."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return found


def _descriptor(found: os.stat_result) -> int | None:
    """The descriptor of standard output or error where it is this file: what is printed must not get lost."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(found, os.fstat(descriptor)):
                return descriptor
    return None


def _copy_into(temporary: Path, path: Path, descriptor: int | None) -> None:
    if descriptor is not None:
        sys.stdout.flush()
        sys.stderr.flush()
    try:
        sink = path if descriptor is None else os.dup(descriptor)
        with open(temporary, "rb") as content, open(sink, "wb") as file:
            shutil.copyfileobj(content, file)
    except OSError as error:
        raise named(error, path) from error


def _new_file_mode(folder: Path) -> int:
    """The permission bits that ``open`` gives: asking for the umask would change it for other threads."""
    example = folder / ".mode"
    example.touch()
    return stat.S_IMODE(example.stat().st_mode)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- errors -------------------------------------------------------------------------------------------------


def _raise_if_full(temporary: Path, error: Exception) -> None:
    """Raise the system's error where no more can be written: compiled writers have words of their own."""
    if isinstance(error, OSError) and error.errno is not None:
        return
    try:
        with open(temporary, "ab") as file:
            file.write(bytes(_PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as full:
        raise full from error


def _is_of_write(error: OSError, folder: Path) -> bool:
    """Whether an error is about what was written to the folder, not about another file in the block."""
    if error.errno is None:
        return False
    if error.filename is None:
        return error.errno in WRITE_ERRORS
    return folder in (Path(str(error.filename)), *Path(str(error.filename)).parents)


# --- leftovers ----------------------------------------------------------------------------------------------


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock a folder for the block; the system releases the lock whatever ends the process.

    Process ids would not do: containers and machines that share a disk use the same ones.
    """
    descriptor = os.open(folder, os.O_RDONLY) if fcntl else None
    try:
        if descriptor is not None:
            with suppress(OSError):  # not every network file system has locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _sweep(parent: Path) -> None:
    """Remove the temporary folders of processes that have ended."""
    names = []
    with suppress(PermissionError):  # a folder to write to that nobody may list
        names = os.listdir(parent)
    for name in names:
        found = _TEMPORARY.fullmatch(name)
        if found and _is_abandoned(parent / name, found["machine"]):
            shutil.rmtree(parent / name, ignore_errors=True)


def _is_abandoned(folder: Path, machine: str) -> bool:
    try:
        if machine == _machine() and fcntl:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                return False
            except OSError:  # no locks here
                pass
            finally:
                os.close(descriptor)
        changed = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:  # it has just been removed, or is another user's
        return False
    return time.time() - changed > _ABANDONED_S


@cache
def _machine() -> str:
    """Name the machine, since its start, whose locks this process sees."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        name = platform.node()
    return hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
