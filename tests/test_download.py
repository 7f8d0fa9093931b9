"""The download, from a server on this machine that can break off and resume."""

import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from deepmot_lib.__main__ import main
from deepmot_lib.data import download, mot

from .disks import small_disk


def archive(prefix):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as files:
        files.writestr(f"{prefix}train/MOT17-02-DPM/gt/gt.txt", "1,1,10,10,20,40,1,1,1\n")
        files.writestr(f"{prefix}train/MOT17-02-DPM/det/det.txt", "1,-1,10,10,20,40,0.9\n")
    return buffer.getvalue()


@pytest.fixture
def server():
    """Serves ``content``, at most ``limit`` bytes of it before it hangs up; notes what it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            server.asked.append((self.path, asked))
            start = int(asked[6:-1]) if asked and server.resumes else 0
            rest = server.content[start:]
            if not rest:
                return self.send_error(416)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: server.limit])

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.limit, server.resumes, server.asked = archive(""), None, True, []
    server.site = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("prefix", ["", "MOT17/"])
def test_unpacks_to_sequences_once(server, tmp_path, prefix):
    server.content = archive(prefix)
    for _ in range(2):
        folder = download.fetch("MOT17", tmp_path, server.site)
    assert folder == tmp_path / "MOT17" and (folder / "train").is_dir()
    assert [sequence.name for sequence in mot.find_sequences(folder)] == ["MOT17-02-DPM"]
    assert [path.name for path in tmp_path.iterdir()] == ["MOT17"]
    assert server.asked == [("/MOT17.zip", None)]


@pytest.mark.parametrize("resumes", [True, False])
def test_goes_on_where_it_broke_off(server, tmp_path, resumes):
    server.limit, server.resumes = 100, resumes
    with pytest.raises(OSError, match="run again to go on"):
        download.fetch("MOT17", tmp_path, server.site)
    assert (tmp_path / "MOT17.zip.part").stat().st_size == 100 and not (tmp_path / "MOT17").exists()
    server.limit = None
    download.fetch("MOT17", tmp_path, server.site)
    assert server.asked[-1] == ("/MOT17.zip", "bytes=100-")
    gt = tmp_path / "MOT17" / "train" / "MOT17-02-DPM" / "gt" / "gt.txt"
    assert mot.read_ground_truth(gt)["x2"].tolist() == [30]


def test_a_part_that_is_the_whole(server, tmp_path):
    (tmp_path / "MOT17.zip.part").write_bytes(server.content)
    assert download.fetch("MOT17", tmp_path, server.site).is_dir()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_broken_archive_leaves_no_folder(server, tmp_path):
    server.content = server.content[:-30] + bytes(30)
    with pytest.raises(ValueError, match=r"MOT17.zip: no whole zip file"):
        download.fetch("MOT17", tmp_path, server.site)
    assert names(tmp_path) == ["MOT17.zip"]


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as files:
        for name, content in members.items():
            files.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def broken(content):
    """Its first member has another checksum than its entry says."""
    return content.replace(b"1,1,10,10,20", b"1,1,10,10,21", 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(readme="no data"), "MOT17.zip: no MOTChallenge sequence here"),
        (zipped(), "MOT17.zip: no MOTChallenge sequence here"),
        (zipped(MOT17__notes="no data"), "MOT17.zip: no MOTChallenge sequence here"),
        (broken(archive("")), r"MOT17.zip: train/MOT17-02-DPM/gt/gt.txt cannot be unpacked \(Bad CRC-32"),
        (b"<html>no longer here</html>", "MOT17.zip: no whole zip file"),
    ],
)
def test_an_archive_that_is_no_data_does_not_block_the_next_download(
    server, tmp_path, capsys, content, message
):
    good, server.content = server.content, content
    with pytest.raises(ValueError, match=message) as caught:
        download.fetch("MOT17", tmp_path, server.site)
    assert ".deepmot" not in str(caught.value)
    assert names(tmp_path) == ["MOT17.zip"]
    server.content = good
    folder = download.fetch("MOT17", tmp_path, server.site)
    assert [sequence.name for sequence in mot.find_sequences(folder)] == ["MOT17-02-DPM"]
    assert names(tmp_path) == ["MOT17"]
    assert f"{caught.value}; downloading it anew" in capsys.readouterr().err


def test_an_archive_got_by_hand_is_taken(tmp_path):
    (tmp_path / "MOT17.zip").write_bytes(archive("MOT17/"))
    assert download.fetch("MOT17", tmp_path, "http://127.0.0.1:9").is_dir()
    assert names(tmp_path) == ["MOT17"]


def test_a_folder_without_sequences(server, tmp_path):
    (tmp_path / "MOT17").mkdir()
    assert download.fetch("MOT17", tmp_path, server.site).is_dir(), "an empty one is filled"
    (tmp_path / "MOT16").mkdir()
    (tmp_path / "MOT16" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"no MOTChallenge sequence.*move .*MOT16 away to download it"):
        download.fetch("MOT16", tmp_path, server.site)
    assert names(tmp_path / "MOT16") == ["notes.txt"]


@pytest.mark.parametrize(("size", "file"), [(1 << 16, "MOT17.zip.part"), (1 << 17, "MOT17")])
def test_a_full_disk_names_what_did_not_fit(server, tmp_path, size, file):
    """Either the archive or what it unpacks to."""
    buffer = io.BytesIO(archive(""))
    with zipfile.ZipFile(buffer, "a") as files:
        files.writestr("train/MOT17-02-DPM/img1/000001.jpg", np.random.default_rng(0).bytes(90_000))
    server.content = buffer.getvalue()
    with small_disk(tmp_path / "disk", size) as disk:
        with pytest.raises(OSError, match=rf"^\[Errno 28\] No space left on device: '.*{file}'$"):
            download.fetch("MOT17", disk, server.site)
        assert names(disk) == ["MOT17.zip" if file == "MOT17" else file]


def test_unknown_or_unreachable(tmp_path, capsys):
    with pytest.raises(ValueError, match="'MOT18': choose one of MOT15, MOT16, MOT17"):
        download.fetch("MOT18", tmp_path)
    with pytest.raises(OSError, match="get it by hand"):
        download.fetch("MOT17", tmp_path, "http://127.0.0.1:9")
    with pytest.raises(SystemExit):
        main(["data", "download", "MOT18", "--out", str(tmp_path)])
    assert "MOT17" in capsys.readouterr().err
