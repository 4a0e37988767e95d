"""Zip files whose bytes follow from their content, and that are read without trusting them.

Nothing is ever unpacked: members are read into memory, each under a limit, and only under names
that the caller knows. No torch.
"""

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file can say; the same in every bundle
MODE = 0o100644 << 16
MAX_MEMBERS = 200_000
MAX_RATIO = 500  # uncompressed to compressed; text of ours has about 20
MIB = 2**20


class BundleError(ValueError):
    """A file that is no bundle, or was changed; ``member`` is what is wrong."""

    def __init__(self, member: str, message: str) -> None:
        self.member, self.message = member, message
        super().__init__(f"{member}: {message}")


@dataclass(frozen=True)
class Kind:
    """Members of one pattern; larger ones, or more of all of them together, are refused."""

    pattern: re.Pattern[str]
    max_bytes: int
    max_total: int


class Archive:
    """A zip file opened for reading. Raises BundleError, which names the member, for whatever is
    not a plain set of files of known names and bounded sizes.
    """

    def __init__(self, path: Path, kinds: Mapping[str, Kind]) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise BundleError(path.name, f"cannot be read as a zip file ({error})") from None
        try:
            self._infos = _checked(self._zip.infolist(), path.stat().st_size, kinds)
        except BundleError:
            self._zip.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def names(self) -> set[str]:
        return set(self._infos)

    def size(self, name: str) -> int:
        return self._infos[name].file_size

    def read(self, name: str) -> bytes:
        """One member, whole; never more than its head says, which was checked."""
        try:
            with self._zip.open(self._infos[name]) as file:
                data = file.read(self._infos[name].file_size + 1)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError) as error:
            raise BundleError(name, f"is damaged ({error})") from None
        if len(data) != self._infos[name].file_size:
            raise BundleError(name, "is not as long as the zip file says")
        return data


def _checked(
    infos: list[zipfile.ZipInfo], size: int, kinds: Mapping[str, Kind]
) -> dict[str, zipfile.ZipInfo]:
    if len(infos) > MAX_MEMBERS:
        raise BundleError("the file", f"has {len(infos):,} members; at most {MAX_MEMBERS:,}")
    found: dict[str, zipfile.ZipInfo] = {}
    totals = dict.fromkeys(kinds, 0)
    for info in infos:
        name = info.orig_filename  # as it stands there: zipfile cuts and turns what it hands out
        kind = next((k for k, one in kinds.items() if one.pattern.fullmatch(name)), None)
        if kind is None:
            raise BundleError(_shown(name), "does not belong into a bundle")
        if name in found:
            raise BundleError(name, "stands there twice")
        _check_member(info, kinds[kind].max_bytes)
        totals[kind] += info.file_size
        if totals[kind] > kinds[kind].max_total:
            most = kinds[kind].max_total // MIB
            raise BundleError(name, f"is more than {most:,} MiB together with those before it")
        found[name] = info
    if sum(info.compress_size for info in infos) > size:
        raise BundleError("the file", "has members that lie over each other")
    return found


def _check_member(info: zipfile.ZipInfo, max_bytes: int) -> None:
    name = info.orig_filename
    if info.flag_bits & 0x1:
        raise BundleError(name, "is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError(name, "is compressed in a way that bundles are not")
    kind = (info.external_attr >> 16) & 0o170000
    if kind not in (0, 0o100000):
        raise BundleError(name, "is a link or a folder, not a file")
    if info.file_size > max_bytes:
        raise BundleError(name, f"is larger than {max_bytes // MIB:,} MiB")
    if info.file_size > MIB and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise BundleError(name, "grows more than any text when it is unpacked")


def _shown(name: str) -> str:
    """A name nobody vouches for, fit for a terminal."""
    return ascii(name[:120])[1:-1]


def write(file: IO[bytes], texts: Mapping[str, bytes], files: Iterable[tuple[str, Path]]) -> None:
    """A zip of ``texts``, compressed, and of ``files``, as they are; both sorted by name."""
    with zipfile.ZipFile(file, "w") as made:
        for name in sorted(texts):
            made.writestr(_info(name, zipfile.ZIP_DEFLATED), texts[name], compresslevel=9)
        for name, path in sorted(files):
            with made.open(_info(name, zipfile.ZIP_STORED), "w", force_zip64=True) as target:
                for chunk in _chunks(path):
                    target.write(chunk)


def _info(name: str, compression: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, DATE)
    info.compress_type, info.external_attr, info.create_system = compression, MODE, 3
    return info


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(MIB):
            yield chunk


def sha256_of(data: bytes | Path) -> str:
    if isinstance(data, Path):
        with data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.file_digest(io.BytesIO(data), "sha256").hexdigest()
