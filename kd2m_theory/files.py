"""Files that are written atomically: a reader sees the old file or the new one."""

import hashlib
import json
import os
import secrets
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from kd2m_theory.errors import InputError


def check_writable(path: str | Path) -> Path:
    """The path, refused before any work is done if nothing could be written there.

    Raises:
        InputError: the path is a folder or a device, or its folder does not exist.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
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
    except OSError as error:
        raise InputError(f"the folder {path} cannot be made ({error.strerror}); name another with --out") from None
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
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        if path is not None:
            other = seen.setdefault(path.resolve(), name)
            if other != name:
                raise InputError(f"{other} and {name} are both {path}; give each a file of its own")


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never a part.

    Raises:
        InputError: the path is a folder, or its folder does not exist.
        OSError: the disk refused.
    """
    path = check_writable(path).resolve()  # what a link points to is replaced, not the link
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def content_digest(path: str | Path) -> str:
    """Sixteen hexadecimal digits of SHA-256 of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def read_json(data: bytes | Path, what: str) -> dict[str, Any]:
    """A table that this package wrote as JSON.

    Args:
        data: its bytes, or where it is.
        what: the file is, or should be, for the message: "runs/a/results.json is not the results of a run".

    Raises:
        InputError: the file cannot be read, is not JSON, or is not a table; the message begins with `what`.
    """
    try:
        found = json.loads(data.read_bytes() if isinstance(data, Path) else data)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{what} ({type(error).__name__}: {' '.join(str(error).split())[:200]})") from None
    if not isinstance(found, dict):
        raise InputError(f"{what} (it is not a table)")
    return found
