"""Writing at once or not at all."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from deepmot_lib.data import files
from deepmot_lib.data.files import atomic, temporary_folder, visible

from .disks import largest_file, small_disk

REPO = Path(__file__).parents[1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def python(code, *arguments, **options):
    """A new process that runs ``code``, with this library."""
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, **options)


# --- whole or not at all ------------------------------------------------------------------------------------


def test_appears_when_the_block_ends(tmp_path):
    file = tmp_path / "made" / "on the way" / "a.txt"
    with atomic(file) as temporary:
        temporary.write_text("new")
        assert not file.exists() and temporary.name == "a.txt"
    assert file.read_text() == "new" and names(file.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, error):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(error), atomic(file) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert file.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_an_error_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text(str(1 / 0))
    with pytest.raises(FileNotFoundError, match=r"b\.txt'$") as caught, atomic(tmp_path / "b.txt"):
        pass  # the block wrote nothing
    assert caught.value.filename == str(tmp_path / "b.txt")
    assert names(tmp_path) == []


def test_a_reader_keeps_the_old_file(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with open(file) as reader:
        with atomic(file) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert file.read_text() == "new"


def test_writers_that_go_by_the_suffix(tmp_path):
    with atomic(tmp_path / "a.npz") as temporary:
        np.savez(temporary, x=np.arange(3))
    assert np.load(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]
    assert names(tmp_path) == ["a.npz"]


def test_two_files_of_one_stem_at_once(tmp_path):
    with atomic(tmp_path / "a.csv") as one, atomic(str(tmp_path / "a.json")) as other:
        one.write_text("1")
        other.write_text("2")
    assert (tmp_path / "a.csv").read_text() == "1" and (tmp_path / "a.json").read_text() == "2"
    assert names(tmp_path) == ["a.csv", "a.json"]


def test_a_folder_in_the_way_is_told_before_the_work(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.txt"), atomic(tmp_path / "a.txt"):
        pytest.fail("the block began")
    assert names(tmp_path) == ["a.txt"] and os.path.isdir(tmp_path / "a.txt")


def test_the_longest_name(tmp_path):
    with atomic(tmp_path / ("a" * 251 + ".txt")) as temporary:
        temporary.write_text("new")
    assert [len(name) for name in names(tmp_path)] == [255]


def test_the_content_is_on_the_disk_before_it_replaces_the_file(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor):
        done.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def replaced(source, target):
        done.append(("replace", str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert done == [
        ("sync", str(temporary)),
        ("replace", str(tmp_path / "a.txt")),
        ("sync", str(tmp_path)),
    ]


# --- as open() does -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_permissions(tmp_path, mask):
    before = os.umask(mask)
    try:
        (tmp_path / "usual.txt").write_text("x")
        with atomic(tmp_path / "new.safetensors") as temporary:
            save_file({"x": torch.zeros(3)}, temporary)  # alone, it gives 0600
        (tmp_path / "there.txt").write_text("old")
        (tmp_path / "there.txt").chmod(0o664)
        with atomic(tmp_path / "there.txt") as temporary:
            temporary.write_text("new")
    finally:
        os.umask(before)
    mode = {file.stem: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert mode == {"usual": 0o666 & ~mask, "new": 0o666 & ~mask, "there": 0o664}


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "b.csv"
    if there:
        target.write_text("old")
    link = tmp_path / "a.csv"
    link.symlink_to(Path("elsewhere", "b.csv"))
    with atomic(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new" and not target.is_symlink()
    assert names(tmp_path) == ["a.csv", "elsewhere"] and names(target.parent) == ["b.csv"]


def test_a_pipe_takes_the_content(tmp_path):
    pipe = tmp_path / "a.npz"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with atomic(pipe) as temporary:
        np.savez(temporary, x=np.arange(3))  # a writer that seeks
        expected = temporary.read_bytes()
    reader.join(timeout=10)
    assert read == [expected] and stat.S_ISFIFO(pipe.stat().st_mode) and names(tmp_path) == ["a.npz"]


PRINTS = """
import sys
from deepmot_lib.data.files import atomic
print("before")
with atomic(sys.argv[1]) as temporary:
    temporary.write_text("MOTA\\n")
print("after")
"""


def test_standard_output_that_is_a_pipe():
    assert python(PRINTS, "/dev/stdout").communicate()[0] == "before\nMOTA\nafter\n"


@pytest.mark.parametrize("by_name", [True, False])
def test_standard_output_that_is_a_file_keeps_what_is_printed(tmp_path, by_name):
    shown = tmp_path / "shown.txt"
    with open(shown, "w") as output:
        subprocess.run(
            [sys.executable, "-c", PRINTS, str(shown) if by_name else "/dev/stdout"],
            env={**os.environ, "PYTHONPATH": str(REPO)},
            stdout=output,
            check=True,
        )
    assert shown.read_text() == "before\nMOTA\nafter\n" and names(tmp_path) == ["shown.txt"]


# --- a full disk --------------------------------------------------------------------------------------------

NOISE = np.random.default_rng(0).random((300, 400))


def draw(path):
    figure, axes = plt.subplots()
    axes.imshow(NOISE)
    figure.savefig(path, dpi=300)


WRITERS = {
    "a.txt": lambda path: path.write_text("x" * 300_000),
    "a.csv": lambda path: pd.DataFrame(NOISE).to_csv(path),
    "a.npy": lambda path: np.save(path, NOISE),
    "a.npz": lambda path: np.savez_compressed(path, x=NOISE),
    "a.pt": lambda path: torch.save({"x": torch.from_numpy(NOISE)}, path),
    "a.safetensors": lambda path: save_file({"x": torch.from_numpy(NOISE)}, path),
    "a.png": lambda path: Image.fromarray((255 * NOISE).astype(np.uint8)).save(path),
    "b.png": draw,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("full", [small_disk, largest_file])
def test_a_full_disk_is_reported_with_the_file_and_leaves_the_old_one(tmp_path, name, full):
    if full is small_disk:
        place, number = small_disk(tmp_path / "disk", 1 << 16), errno.ENOSPC
    else:
        place, number = largest_file(1 << 15), errno.EFBIG
    with place as folder:
        file = (folder or tmp_path) / name
        file.write_text("old")
        with pytest.raises(OSError) as caught, atomic(file) as temporary:
            WRITERS[name](temporary)
        assert (caught.value.errno, caught.value.filename) == (number, str(file))
        assert str(caught.value) == f"[Errno {number}] {os.strerror(number)}: '{file}'"
        assert file.read_text() == "old" and names(file.parent) == [name]


def test_a_disk_with_no_byte_free(tmp_path):
    with small_disk(tmp_path / "disk", 1 << 16) as disk:
        (disk / "a.txt").write_text("old")
        with pytest.raises(OSError), open(disk / "other", "wb") as other:
            other.write(bytes(1 << 17))
        full = pytest.raises(OSError, match=r"No space left on device: '.*a\.txt'")
        with full, atomic(disk / "a.txt") as temporary:
            temporary.write_text("new")
        assert (disk / "a.txt").read_text() == "old" and names(disk) == ["a.txt", "other"]


def test_a_full_device():
    with (
        pytest.raises(OSError, match=r"No space left on device: '/dev/full'"),
        atomic("/dev/full") as temporary,
    ):
        temporary.write_text("new")


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.txt"), atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text((tmp_path / "missing.txt").read_text())


# --- leftovers ----------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from deepmot_lib.data.files import atomic
with atomic(sys.argv[1]) as temporary:
    temporary.write_text("half of the n")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def left_by_a_killed_process(file):
    process = python(KILLED, file)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["0000001.npy", "SEQ.txt", "table1.csv", "fig8.png", "02_dhn.ipynb"])
def test_what_a_killed_process_leaves_matches_no_pattern(tmp_path, name):
    (tmp_path / "matrices").mkdir()
    left_by_a_killed_process(tmp_path / "matrices" / name)
    (left,) = (tmp_path / "matrices").iterdir()
    pattern = f"*{Path(name).suffix}"
    assert not list(left.parent.glob(pattern)) and not list(tmp_path.rglob(f"matrices/{pattern}"))
    assert left.name.startswith(".") and visible(left.parent, "*") == []


def test_it_is_removed_by_the_next_write(tmp_path):
    left_by_a_killed_process(tmp_path / "a.txt")
    left_by_a_killed_process(tmp_path / "a.txt")
    assert len(names(tmp_path)) == 1  # the second swept what the first had left
    with atomic(tmp_path / "b.txt") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["b.txt"]


def test_what_a_living_process_writes_is_kept(tmp_path):
    waiting = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "print(flush=True); input()")
    process = python(waiting, tmp_path / "a.txt", stdin=subprocess.PIPE)
    process.stdout.readline()
    with atomic(tmp_path / "a.txt") as temporary, atomic(tmp_path / "b.txt") as other:
        temporary.write_text("new")
        other.write_text("new")
    process.communicate("\n")
    assert process.returncode == 0 and names(tmp_path) == ["a.txt", "b.txt"]
    assert (tmp_path / "a.txt").read_text() == "half of the n"  # the last to finish


def test_what_another_machine_left_is_kept_for_a_day(tmp_path, monkeypatch):
    left_by_a_killed_process(tmp_path / "a.txt")
    (left,) = tmp_path.iterdir()
    monkeypatch.setattr(files, "_machine", lambda: "0" * 8)
    for hours, kept in ((23, True), (25, False)):
        for path in (left / "a.txt", left):
            os.utime(path, (time.time() - hours * 3600,) * 2)
        with temporary_folder(tmp_path / "b.txt"):
            assert left.exists() == kept
    assert names(tmp_path) == []


def test_nothing_else_is_swept(tmp_path):
    for name in (".deepmot-mine.tmp", ".hidden", "deepmot-00000000-abcdefgh.tmp"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 0))
    with temporary_folder(tmp_path / "b.txt"):
        pass
    assert len(names(tmp_path)) == 3


# --- several at once ----------------------------------------------------------------------------------------

MANY = """
import os, sys
os.getpid = lambda: 7  # as in two containers
from deepmot_lib.data.files import atomic
for _ in range(60):
    with atomic(sys.argv[1]) as temporary, open(temporary, "w") as file:
        for _ in range(20):
            file.write(sys.argv[2] * 5_000)
            file.flush()
"""


def test_processes_of_one_id_write_one_file(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("0" * 100_000)
    writers = [python(MANY, file, mark) for mark in "1234"]
    seen = []
    while any(writer.poll() is None for writer in writers) or len(seen) < 300:
        content = file.read_text()
        assert len(content) == 100_000 and len(set(content)) == 1
        seen.append(content[0])
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    assert len(seen) >= 300 and len(set(seen)) > 2 and names(tmp_path) == ["a.txt"]


# --- reading folders ----------------------------------------------------------------------------------------


def test_hidden_files_are_no_data(tmp_path):
    for name in ("b.txt", "a.txt", "._a.txt", ".c.4711.txt", "d.csv"):
        (tmp_path / name).touch()
    assert visible(tmp_path, "*.txt") == [tmp_path / "a.txt", tmp_path / "b.txt"]
    assert visible(str(tmp_path / "missing"), "*.txt") == []
