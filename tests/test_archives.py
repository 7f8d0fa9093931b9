"""Archives that are damaged, encrypted, far too large, or that lead out of their folder."""

import io
import lzma
import tarfile
import zipfile

import numpy as np
import pytest

from deepmot_lib.data import archives
from deepmot_lib.data.archives import ArchiveError, unpack
from deepmot_lib.evaluation import published

from .disks import largest_file

MEMBERS = {"train/A/gt/gt.txt": b"1,1,10,10,20,40,1,1,1\n" * 30, "train/A/img1/000001.jpg": bytes(range(256))}


def zipped(path, members=MEMBERS, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def tarred(path, members=MEMBERS):
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def found(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(("name", "pack"), [("a.zip", zipped), ("a.ZIP", zipped), ("a.tgz", tarred)])
def test_all_members_are_unpacked(tmp_path, name, pack):
    unpack(pack(tmp_path / name), tmp_path / "made" / "folder")
    assert found(tmp_path / "made" / "folder") == MEMBERS


@pytest.mark.parametrize(("name", "pack"), [("a.zip", zipped), ("a.tgz", tarred)])
def test_400_damaged_archives_are_refused_or_whole(tmp_path, name, pack):
    """Some bytes mean nothing for the content, such as times."""
    whole, refused = pack(tmp_path / name).read_bytes(), 0
    for number in range(400):
        rng = np.random.default_rng(number)
        at = int(rng.integers(len(whole)))
        ends = (whole[at + 1 :], b"", whole[at + 9 :], rng.bytes(20) + whole[at + 20 :])
        (tmp_path / name).write_bytes(whole[:at] + rng.bytes(1) + ends[number % 4])
        try:
            unpack(tmp_path / name, tmp_path / f"{number}")
            assert found(tmp_path / f"{number}") == MEMBERS, number
        except ArchiveError as error:
            assert str(error).startswith(str(tmp_path / name)), number
            refused += 1
    assert refused > 300


@pytest.mark.parametrize(
    "kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_broken_member_is_named(tmp_path, kind):
    whole = zipped(tmp_path / "a.zip", kind=kind).read_bytes()
    start = whole.index(b"000001.jpg") + len(b"000001.jpg")
    (tmp_path / "a.zip").write_bytes(whole[: start + 70] + b"\xff" * 9 + whole[start + 79 :])
    with pytest.raises(ArchiveError, match=r"a\.zip: train/A/img1/000001\.jpg cannot be unpacked \(.+\)$"):
        unpack(tmp_path / "a.zip", tmp_path / "folder")


def test_an_encrypted_member_is_named(tmp_path):
    content = bytearray(zipped(tmp_path / "a.zip").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(signature) + offset] |= 1  # the flag of the last member
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(
        ArchiveError, match=r"a\.zip: train/A/img1/000001\.jpg cannot be unpacked .*encrypted"
    ):
        unpack(tmp_path / "a.zip", tmp_path / "folder")


def test_an_unknown_compression_is_named(tmp_path):
    content = bytearray(zipped(tmp_path / "a.zip").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.rindex(signature) + offset] = 97
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"000001\.jpg cannot be unpacked \(.*compression"):
        unpack(tmp_path / "a.zip", tmp_path / "folder")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pack"), [("a.zip", zipped), ("a.tgz", tarred)])
def test_a_small_archive_does_not_unpack_to_300_megabytes(tmp_path, name, pack):
    pack(tmp_path / name, {"train/A/gt/gt.txt": bytes(300 << 20)})
    packed = (tmp_path / name).stat().st_size
    assert packed < 400_000
    with pytest.raises(ArchiveError, match=rf"{name}: its {packed:,} bytes would unpack to 314,572,800"):
        unpack(tmp_path / name, tmp_path / "folder")
    assert found(tmp_path / "folder") == {}


def test_an_archive_that_hides_its_size_unpacks_no_further(tmp_path):
    content = bytearray(zipped(tmp_path / "a.zip", {"gt.txt": bytes(80 << 20)}).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.rindex(signature) + offset
        content[at : at + 4] = (1000).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"gt\.txt cannot be unpacked \(Bad CRC-32"):
        unpack(tmp_path / "a.zip", tmp_path / "folder")
    assert sum(map(len, found(tmp_path / "folder").values())) <= 1000


def test_pictures_and_rows_of_numbers_are_not_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST_SMALL", 0)
    numbers = np.random.default_rng(0).integers(0, 1000, (20_000, 4))
    text = "\n".join(f"1,-1,{a},{b},{c},{d},0.9" for a, b, c, d in numbers).encode()
    unpack(zipped(tmp_path / "a.zip", {"det.txt": text}), tmp_path / "folder")
    assert found(tmp_path / "folder") == {"det.txt": text}


OUTSIDE = ("../outside", "../../outside", "/outside", "a/../../outside", "..\\outside")


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(("archive", "pack"), [("a.zip", zipped), ("a.tgz", tarred)])
def test_nothing_is_written_outside_the_folder(tmp_path, archive, pack, name):
    place = tmp_path / "data" / "folder"
    pack(
        tmp_path / archive,
        {name.replace("/outside", f"{tmp_path}/outside") if name[0] == "/" else name: b"x"},
    )
    try:
        unpack(tmp_path / archive, place)
    except ArchiveError as error:
        assert "outside" in str(error)
    assert {path for path in tmp_path.rglob("*") if path.is_file() and place not in path.parents} == {
        tmp_path / archive
    }


@pytest.mark.parametrize("target", ["/etc", "../.."])
def test_a_link_does_not_lead_outside(tmp_path, target):
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as file:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, target
        file.addfile(link)
        file.addfile(tarfile.TarInfo("link/outside"))
    with pytest.raises(ArchiveError, match=r"a\.tgz: link cannot be unpacked"):
        unpack(tmp_path / "a.tgz", tmp_path / "data" / "folder")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        file.writestr(link, target)
        file.writestr("link/outside", b"x")
    with pytest.raises(ArchiveError):
        unpack(tmp_path / "a.zip", tmp_path / "data" / "folder")
    assert not (tmp_path / "outside").exists() and not (tmp_path / "data" / "folder" / "link").is_symlink()


def test_a_full_disk_is_not_the_archives_fault(tmp_path):
    zipped(tmp_path / "a.zip", {"a.txt": bytes(1 << 18)})
    with largest_file(1 << 14), pytest.raises(OSError, match=r"\[Errno 27\] File too large: '.*folder'"):
        unpack(tmp_path / "a.zip", tmp_path / "folder")
    with pytest.raises(FileNotFoundError, match=r"b\.zip"):
        unpack(tmp_path / "b.zip", tmp_path / "folder")


def test_published_results_are_unpacked_with_the_same_care(tmp_path):
    (tmp_path / "MOT17" / "train").mkdir(parents=True)
    (tmp_path / "results-Lif_T-MOT17-train.tgz").write_bytes(lzma.compress(b"x"))
    with pytest.raises(ArchiveError, match=r"results-Lif_T-MOT17-train\.tgz: no whole tar file"):
        published.lif_t(tmp_path)
