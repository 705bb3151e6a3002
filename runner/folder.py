"""A result folder on any file system that PyArrow knows: a local path, `s3://`, `gs://`, ...

    Folder("results/crash")    Folder("s3://bucket/crash?endpoint_override=host:port&scheme=http")

A file appears whole or not at all. Locally it is written beside its place under a temporary name,
synced, and moved there, and then the folder is synced, so a killed machine keeps it. An object
store has no cheap move and needs none: an object is put in one piece from memory. Relative paths
are made absolute at once, because workers have other working directories.
"""

import functools
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from markets.errors import ConfigError, FathomError

TAIL_BYTES = 8
MAGIC = b"PAR1"


class CannotWrite(FathomError):
    """The disk is full, or the store refuses; what was finished before is kept."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(
            f"cannot write {place}: {reason}; what is finished is kept, the same command goes on"
        )
        self.reasons = (place, reason)

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), self.reasons


class Folder:
    """Files are named by their path inside the folder, with forward slashes."""

    def __init__(self, place: "str | Path | Folder") -> None:
        text = str(place)
        self.local = "://" not in text or text.startswith("file://")
        if self.local:
            self.path = Path(text.removeprefix("file://")).resolve()
            self._files, self._root = pafs.LocalFileSystem(), str(self.path)
            self.uri = self._root
        else:
            self._files, self._root = _open(text)
            self.uri = text

    def __str__(self) -> str:
        return self.uri

    def prepare(self) -> None:
        """Make the folder; raises ConfigError if it cannot be written."""
        probe = f".probe-{os.getpid()}-{uuid.uuid4().hex}.tmp"
        try:
            if self.local:
                self.path.mkdir(parents=True, exist_ok=True)
                (self.path / probe).touch()
            else:
                self._put(probe, b"probe")
            self.remove(probe)
        except (OSError, pa.ArrowException) as error:
            raise ConfigError("out", f"cannot write to {self}: {_reason(error)}") from None

    def write(self, name: str, content: Any) -> None:
        """Put a file there, all of it or nothing; raises CannotWrite."""
        try:
            if self.local:
                self._move_in(self.path / name, content)
            else:
                self._put(name, content)
        except (OSError, pa.ArrowException) as error:
            raise CannotWrite(f"{self}/{name}", _reason(error)) from error

    def open(self, name: str) -> pa.NativeFile:
        """The file for reading; raises FileNotFoundError."""
        return self._files.open_input_file(self._at(name))

    def read(self, name: str) -> bytes | None:
        """All of a file; None if there is none."""
        try:
            with self.open(name) as file:
                content: bytes = file.readall()
                return content
        except FileNotFoundError:
            return None

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        found = self._files.get_file_info(self._at(name))
        return bool(found.type == pafs.FileType.File)

    def sizes(self, inside: str = "") -> dict[str, int]:
        """The files directly in a subfolder by name, with their bytes."""
        selector = pafs.FileSelector(self._at(inside), allow_not_found=True)
        found = self._files.get_file_info(selector)
        files = (each for each in found if each.type == pafs.FileType.File)
        return {each.base_name: each.size or 0 for each in sorted(files, key=lambda one: one.path)}

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        try:
            self._files.delete_file(self._at(name))
        except FileNotFoundError:
            return

    def remove_all(self, inside: str) -> None:
        """Take a subfolder away, if it is there."""
        if self.local:
            shutil.rmtree(self.path / inside, ignore_errors=True)
        elif self.sizes(inside):
            self._files.delete_dir(self._at(inside))

    def is_whole(self, name: str) -> bool:
        """Whether a Parquet file has its end: one cut off while it was written has not."""
        with self.open(name) as file:
            size = file.size()
            if size < TAIL_BYTES:
                return False
            file.seek(size - TAIL_BYTES)
            tail = file.read(TAIL_BYTES)
        footer = int.from_bytes(tail[:4], "little")
        return bool(tail[4:] == MAGIC and 0 < footer <= size - TAIL_BYTES)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _move_in(self, target: Path, content: Any) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.stem}-{uuid.uuid4().hex}.tmp"
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync(target.parent)

    def _put(self, name: str, content: Any) -> None:
        """One object. Closing publishes it, so nothing is closed after a failure to write."""
        stream = self._files.open_output_stream(self._at(name))
        stream.write(content)
        stream.close()


def _sync(folder: Path) -> None:
    """So that a move survives the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@functools.lru_cache(maxsize=16)
def _open(uri: str) -> tuple[pafs.FileSystem, str]:
    try:
        files, root = pafs.FileSystem.from_uri(uri)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ConfigError("out", f"no file system for {uri}: {_reason(error)}") from None
    return files, root.rstrip("/")


def _reason(error: BaseException) -> str:
    """In one line."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())[:300]
