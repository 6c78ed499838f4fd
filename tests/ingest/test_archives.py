"""Archives: members come out under names of our own, within bounds; a broken one is said so, and the others are read."""

import gzip
import io
import stat
import struct
import zipfile
import zlib

import pytest

from pipeline.ingest import archives
from pipeline.ingest.archives import Allowance, label_of, unpack_gzip, unpack_zip
from pipeline.ingest.read import UnreadableFile


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def write(tmp_path, content, name="export.csv"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def zip_of(members, compression=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of name -> content; a ZipInfo may stand in place of a name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def raw_zip(name: bytes, content: bytes, flags=0) -> bytes:
    """A zip of one stored member whose name is bytes of any encoding."""
    sizes = struct.pack("<LLL", zlib.crc32(content), len(content), len(content))
    fixed = struct.pack("<HHHHH", 20, flags, 0, 0, 0)
    local = b"PK\x03\x04" + fixed + sizes + struct.pack("<HH", len(name), 0) + name + content
    entry = b"PK\x01\x02" + struct.pack("<H", 20) + fixed + sizes + struct.pack("<HHHHHLL", len(name), 0, 0, 0, 0, 0, 0)
    entry += name
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end


def unpack(tmp_path, scratch, content):
    path = write(tmp_path, content, "export.zip")
    return unpack_zip(path, scratch, Allowance(path, scratch))


def test_members_are_unpacked_in_their_order_whatever_their_folders(tmp_path, scratch):
    members, notes = unpack(tmp_path, scratch, zip_of({"a/b/two.csv": b"2", "one.csv": b"1", "empty/": b""}))
    assert [(one.label, one.path.read_bytes()) for one in members] == [("a/b/two.csv", b"2"), ("one.csv", b"1")]
    assert notes == []


def test_no_member_leaves_the_folder_whatever_it_is_called(tmp_path, scratch):
    names = ["../../escaped.csv", "/etc/escaped.csv", "..\\..\\escaped.csv", "C:\\escaped.csv", "\x1b[31mred.csv"]
    members, _ = unpack(tmp_path, scratch, zip_of(dict.fromkeys(names, b"x")))
    assert [one.label for one in members] == [
        "escaped.csv",
        "etc/escaped.csv",
        "escaped.csv",
        "C:/escaped.csv",
        "\ufffd[31mred.csv",
    ]
    assert {one.path.parent for one in members} == {scratch}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.zip", "scratch"]


def test_a_link_is_not_followed(tmp_path, scratch):
    link = zipfile.ZipInfo("link.csv")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    members, notes = unpack(tmp_path, scratch, zip_of({link: b"/etc/passwd", "a.csv": b"1"}))
    assert [one.label for one in members] == ["a.csv"]
    assert notes == ["link.csv: a link is not followed"]


def test_what_a_mac_or_windows_adds_is_passed_over(tmp_path, scratch):
    names = ["a.csv", "__MACOSX/._a.csv", ".DS_Store", "sub/.DS_Store", "Thumbs.db"]
    members, notes = unpack(tmp_path, scratch, zip_of(dict.fromkeys(names, b"x")))
    assert ([one.label for one in members], notes) == (["a.csv"], [])


@pytest.mark.parametrize(
    ("name", "flags", "label"),
    [
        ("订单.csv".encode("gbk"), 0, "订单.csv"),
        ("订单.csv".encode(), 0, "订单.csv"),
        ("订单.csv".encode(), 0x800, "订单.csv"),
        (b"ventes_\x82.csv", 0, "ventes_é.csv"),
        (b"plain.csv", 0, "plain.csv"),
    ],
)
def test_names_are_read_in_the_encoding_that_they_can_be(tmp_path, scratch, name, flags, label):
    path = write(tmp_path, raw_zip(name, b"1", flags), "export.zip")
    with zipfile.ZipFile(path) as archive:
        assert label_of(archive.infolist()[0]) == label
    members, _ = unpack_zip(path, scratch, Allowance(path, scratch))
    assert [(one.label, one.path.read_bytes()) for one in members] == [(label, b"1")]


def test_an_encrypted_and_a_damaged_member_are_said_and_the_others_read(tmp_path, scratch):
    content = bytearray(zip_of({"a.csv": b"a" * 50, "b.csv": b"b" * 50, "c.csv": b"c" * 50}, zipfile.ZIP_STORED))
    content[content.index(b"a" * 50)] ^= 1
    for at in (content.index(b"b.csv") - 24, content.rindex(b"b.csv") - 38):
        content[at] |= 1
    members, _ = unpack(tmp_path, scratch, bytes(content))
    assert [(one.label, one.failure) for one in members] == [
        ("a.csv", "is damaged in the archive (BadZipFile); make the archive again"),
        ("b.csv", "is encrypted; put it there unpacked"),
        ("c.csv", ""),
    ]


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_damaged_in_any_way_of_packing_is_said(tmp_path, scratch, compression):
    lines = "".join(f"{number},{number * 7919 % 10007}\n" for number in range(500))
    content = bytearray(zip_of({"a.csv": lines}, compression))
    begin = 30 + len("a.csv") + 9
    content[begin : begin + 20] = bytes(byte ^ 0xFF for byte in content[begin : begin + 20])
    [member], _ = unpack(tmp_path, scratch, bytes(content))
    assert (member.path, member.failure.startswith("is damaged in the archive")) == (None, True)


@pytest.mark.parametrize("harm", ["cut", "nothing but a beginning", "empty"])
def test_what_is_no_zip_is_unreadable(tmp_path, scratch, harm):
    whole = zip_of({"a.csv": b"1"})
    content = {"cut": whole[:-30], "nothing but a beginning": b"PK\x03\x04", "empty": b""}[harm]
    with pytest.raises(UnreadableFile, match="no complete zip file .*; copy it again"):
        unpack(tmp_path, scratch, content)


def test_bombs_are_stopped(tmp_path, scratch, monkeypatch):
    monkeypatch.setattr(archives, "RATIO_COUNTS_FROM", 1 << 20)
    bomb = zip_of({"a.csv": bytes(8 << 20), "b.csv": bytes(8 << 20)})
    with pytest.raises(UnreadableFile, match="unpacks to more than [0-9,]+ bytes .*; split it"):
        unpack(tmp_path, scratch, bomb)
    assert sum(path.stat().st_size for path in scratch.iterdir()) < 6 << 20
    with pytest.raises(UnreadableFile, match="holds 1001 files, more than 999; split it"):
        unpack(tmp_path, scratch, zip_of({f"{number}.csv": b"" for number in range(1001)}))


# gzip


def test_gzip(tmp_path, scratch):
    path = write(tmp_path, gzip.compress(b"a,b\n1,2\n"), "export.csv.gz")
    assert unpack_gzip(path, scratch).read_bytes() == b"a,b\n1,2\n"
    assert unpack_gzip(path.rename(tmp_path / "export.csv"), scratch).read_bytes() == b"a,b\n1,2\n"
    plain = write(tmp_path, b"a,b\n")
    assert unpack_gzip(plain, scratch) == plain


@pytest.mark.parametrize("harm", ["cut", "no gzip", "changed inside"])
def test_a_broken_gzip_is_unreadable(tmp_path, scratch, harm):
    packed = bytearray(gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 300))
    if harm == "cut":
        packed = packed[:-10]
    elif harm == "no gzip":
        packed = b"a,b\n1,2\n"
    else:
        packed[12:20] = b"\xff" * 8
    with pytest.raises(UnreadableFile, match="no complete gzip file .*; copy it again"):
        unpack_gzip(write(tmp_path, bytes(packed), "export.csv.gz"), scratch)


@pytest.mark.parametrize("limit", ["MAX_UNPACKED_BYTES", "RATIO_COUNTS_FROM"])
def test_a_gzip_that_unpacks_without_bounds_is_stopped(tmp_path, scratch, monkeypatch, limit):
    monkeypatch.setattr(archives, limit, 1 << 20)
    with pytest.raises(UnreadableFile, match="split it"):
        unpack_gzip(write(tmp_path, gzip.compress(bytes(8 << 20)), "export.csv.gz"), scratch)
