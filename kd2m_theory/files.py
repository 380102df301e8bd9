"""Files: those of others are looked at before they are read, ours are written atomically."""

import errno
import hashlib
import json
import math
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from kd2m_theory.errors import InputError

# Bytes of a file that is text, or that is read as a whole: those that this package writes have some 10^5.
LARGEST = 2**26


@contextmanager
def opened(path: str | Path, what: str, error: type[InputError] = InputError) -> Iterator[BufferedReader]:
    """A regular file, open for reading. Opening waits for nobody: a FIFO without a writer is refused like a device.

    Args:
        path: where the file is; a link is followed.
        what: begins the message, unless there is no file: "runs/a/results.json is not the results of a run".
        error: class of the exception.

    Raises:
        InputError: the file cannot be opened, or is a folder, a FIFO or a device.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _WITHOUT_WAITING)
    except FileNotFoundError:
        raise error(f"there is no file {path}") from None
    except (OSError, ValueError) as reason:  # ValueError: a name with a zero byte
        raise error(f"{what} ({_reason(reason)})") from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise error(f"{what} ({'it is a folder' if stat.S_ISDIR(mode) else 'it is not a regular file'})")
    with open(handle, "rb") as file:
        yield file


def read_bytes(path: str | Path, what: str, error: type[InputError] = InputError, largest: int = LARGEST) -> bytes:
    """The bytes of a regular file; its size is looked at first.

    Args:
        path: where it is.
        what: begins the message.
        error: class of the exception.
        largest: size in bytes.

    Raises:
        InputError: as `opened`, or the file is larger.
    """
    with opened(path, what, error) as file:
        if (size := os.fstat(file.fileno()).st_size) > largest:
            raise error(f"{what} (it has {size >> 20:,} MiB, more than {largest >> 20:,})")
        try:
            return file.read()
        except OSError as reason:
            raise error(f"{what} ({_reason(reason)})") from None


def read_json(data: bytes | Path, what: str, error: type[InputError] = InputError) -> dict[str, Any]:
    """A table that this package wrote as JSON.

    Args:
        data: its bytes, or where it is.
        what: the file is, or should be, for the message: "runs/a/results.json is not the results of a run".
        error: class of the exception.

    Raises:
        InputError: the file cannot be read, is not JSON, is not a table, has a key twice, or has a number that is not finite or
            a whole one of more than 64 bits; the message begins with `what`.
    """
    text = read_bytes(data, what, error) if isinstance(data, Path) else data
    try:
        found = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_once)
    except (ValueError, RecursionError) as reason:
        raise error(f"{what} ({_reason(reason)})") from None
    if not isinstance(found, dict):
        raise error(f"{what} (it is not a table)")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table whose keys are there once: of two, readers would take different ones."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it has {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return found


def json_bytes(data: Mapping[str, Any], indent: int = 1) -> bytes:
    """Plain data as JSON in UTF-8; half of a surrogate pair, which UTF-8 does not have, is the escape that JSON has for it.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode(errors="backslashreplace")


def check_writable(path: str | Path) -> Path:
    """The path, refused before any work is done if nothing could be written there.

    Raises:
        InputError: the path is a folder, a device or a loop of links, or its folder does not exist.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as reason:
        if not isinstance(reason, FileNotFoundError | NotADirectoryError):
            raise InputError(f"nothing can be written to {path} ({_reason(reason)}); name another file") from None
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder; name a file in it")
    if mode is not None and not stat.S_ISREG(mode):
        raise InputError(f"{path} is not a regular file; name one that may be replaced")
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; create it first")
    return path


def make_folder(path: str | Path) -> Path:
    """The folder, made if it is not there, refused before any work is done if nothing could be written in it.

    Raises:
        InputError: it cannot be made, or files in it cannot.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(f"the folder {path} cannot be made ({_reason(error)}); name another with --out") from None
    try:
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(f"nothing can be written in {path} ({error.strerror}); name another folder with --out") from None
    return path


def check_distinct(**paths: Path | None) -> None:
    """Refuse two names for one file, of which one would overwrite the other.

    Raises:
        InputError: naming both.
    """
    seen: dict[str, str] = {}
    for name, path in paths.items():
        if path is not None:
            other = seen.setdefault(os.path.realpath(path), name)  # of a loop of links, too
            if other != name:
                raise InputError(f"{other} and {name} are both {path}; give each a file of its own")


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never a part.

    A file that is replaced keeps its permissions; those of a new one are what the user's mask leaves.

    Raises:
        InputError: the path is a folder, or its folder does not exist.
        OSError: the disk refused.
    """
    path = Path(os.path.realpath(check_writable(path)))  # what a link points to is replaced, not the link
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            with suppress(FileNotFoundError):
                os.chmod(beside, stat.S_IMODE(path.stat().st_mode))
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def content_digest(path: str | Path) -> str:
    """Sixteen hexadecimal digits of SHA-256 of a regular file's bytes.

    Raises:
        InputError: it cannot be read, or is not a regular file.
    """
    with opened(path, f"{path} cannot be read") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


# Systems without FIFOs lack the first, and translate line ends without the second.
_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _whole(digits: str) -> int:
    value = int(digits)
    if not -(2**63) <= value < 2**64:
        raise ValueError(f"it has a whole number of {len(digits)} digits")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"it has the number {digits[:20]}")
    return value


def _reason(error: BaseException) -> str:
    """Why a file was refused, in a few words of one line."""
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "it is a loop of links"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
