#!/usr/bin/python3
"""Judges what gzip, zstd and zip made, with the tools that people have:  check_compressed.py DIR

DIR holds, for each case, <case>.in with what went in, <case>.name with its name, and one of <case>.gz, <case>.zst, <case>.zip. Prints what is wrong, and names the packages of tools
that are missing. The exit status is 0 when all tools agree, 1 when anything is wrong, 77 when nothing is but some tools could not be asked."""
import gzip
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

PACKAGES = {"bsdtar": "libarchive-tools", "7zz": "7zip"}
MISSING = set()


def tool(*argv):
    """The output of a tool, None when it is not there; a failure of it is an exception."""
    if not shutil.which(argv[0]):
        MISSING.add(argv[0])
        return None
    return subprocess.run(argv, check=True, capture_output=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}).stdout


def same(got, want, what):
    if got is not None and got != want:
        raise ValueError(f"{what}: {len(got)} bytes, not the {len(want)} that went in")


def check_gzip(path, data, name):
    raw = path.read_bytes()
    same(gzip.decompress(raw), data, "python")
    same(tool("gzip", "-dc", str(path)), data, "gzip")
    member = zlib.decompressobj(31)
    same(member.decompress(raw), data, "the first member")
    if not member.eof or member.unused_data:
        raise ValueError("more than one member")
    try:
        latin = name.encode("latin-1")
    except UnicodeEncodeError:
        latin = b""
    if raw[4:8] != b"\0\0\0\0" or (raw[3] == 8) != bool(latin) or not raw[10:].startswith(latin + b"\0" * bool(latin)):
        raise ValueError("the header has a time or another name")


def check_zstd(path, data, name):
    same(tool("zstd", "-dcq", str(path)), data, "zstd")
    told = tool("zstd", "-lq", str(path))
    if told is not None and b"XXH64" not in told:
        raise ValueError(f"no checksum:\n{told.decode()}")


def check_zip(path, data, name):
    with zipfile.ZipFile(path) as z:
        (entry,) = z.infolist()
        same(z.read(entry), data, "python")  # checks the CRC
        if entry.filename != name:
            raise ValueError(f"the entry is called {entry.filename!r}, not {name!r}")
        if entry.date_time != (1980, 1, 1, 0, 0, 0) or entry.external_attr >> 16 != 0o100644 or entry.extract_version != 20 or entry.extra:
            raise ValueError(f"{entry!r} has another time or mode, or Zip64 without need")
    tool("unzip", "-tqq", str(path))
    same(tool("unzip", "-pqq", str(path)), data, "unzip")
    # Reads it from front to back, without the directory.
    same(tool("sh", "-c", 'bsdtar -xOf - <"$0"', str(path)) if shutil.which("bsdtar") or MISSING.add("bsdtar") else None, data, "bsdtar")
    told = tool("bsdtar", "-tf", str(path))
    if told is not None and told.decode() != name + "\n":
        raise ValueError(f"bsdtar calls the entry {told!r}")
    for seven in ("7zz", "7z"):
        if shutil.which(seven):
            tool(seven, "t", str(path))
            break
    else:
        MISSING.add("7zz")


def main(folder):
    checks = {".gz": check_gzip, ".zst": check_zstd, ".zip": check_zip}
    cases = [p for p in sorted(folder.iterdir()) if p.suffix in checks]
    wrong = 0 if cases else 1
    for path in cases:
        try:
            checks[path.suffix](path, path.with_suffix(".in").read_bytes(), path.with_suffix(".name").read_text())
        except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile, subprocess.CalledProcessError) as e:
            wrong += 1
            print(f"{path.name}: {e} {getattr(e, 'stderr', b'')!r}")
    for name in sorted(MISSING):
        print(f"{name} is missing (package {PACKAGES.get(name, name)})")
    return 1 if wrong else 77 if MISSING else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
