"""Archives that somebody else may have written: headers say what they unpack to, and are read before the data."""

import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

from numpy.lib import format as npy
from numpy.typing import NDArray

from kd2m_theory.errors import InputError
from kd2m_theory.files import opened

# A file may unpack to so many bytes, or to so many times its own size if that is more. Numbers of networks, float32 of ReLUs
# among them, do not pack so well; zeros pack a thousandfold.
_SMALL = 2**26
_RATIO = 32
# What the libraries raise on archives and headers that are damaged.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
    EOFError,
    KeyError,
    MemoryError,  # a header that is nested too deep for the parser
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def check_archive(archive: zipfile.ZipFile, file: BinaryIO) -> None:
    """Refuse, by what an archive says of itself, one that would unpack to much more than it is.

    Raises:
        ValueError: it is encrypted, is packed in a way that neither NumPy nor torch writes, has a name twice, or is a bomb.
    """
    members = archive.infolist()
    if any(each.flag_bits & 1 for each in members):
        raise ValueError("it is encrypted")
    if any(each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for each in members):
        raise ValueError("it is packed neither by NumPy nor by torch")
    if len({each.filename for each in members}) < len(members):
        raise ValueError("it has two members of one name")
    size, unpacked = os.fstat(file.fileno()).st_size, sum(each.file_size for each in members)
    if unpacked > max(_SMALL, _RATIO * size):
        raise ValueError(f"it unpacks to {unpacked >> 20:,} MiB, {unpacked // max(size, 1):,} times its size")


def read_arrays(path: Path, check_names: Callable[[set[str]], None], error: type[InputError]) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz, after the headers of all of them were looked at. Nothing is ever unpickled.

    Args:
        path: the file.
        check_names: called with the names of the arrays before one is read; raises if they are not what is wanted.
        error: class of the exception.

    Raises:
        InputError: it is not an .npz, is damaged, declares other sizes than it has, or would unpack to much more than it is.
    """
    complaint = f"{path.name} is not a whole .npz of plain arrays"
    with opened(path, complaint, error) as file:
        if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
            raise error(f"{path.name} is a single array, not an .npz; write it with numpy.savez")
        try:
            with zipfile.ZipFile(file) as archive:
                check_archive(archive, file)
                members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
                check_names(set(members))
                for name, member in members.items():
                    with archive.open(member) as part:
                        _check_header(part, name, member.file_size)
                found = {}
                for name, member in members.items():
                    with archive.open(member) as part:
                        found[name] = npy.read_array(part, allow_pickle=False)
                return found
        except InputError:
            raise
        except _BROKEN as reason:
            words = " ".join(str(reason).split())[:200] or type(reason).__name__
            raise error(f"{complaint} ({words}); write it again") from None


def _check_header(part: IO[bytes], name: str, size: int) -> None:
    """Refuse an array that declares something else than its member holds."""
    version = npy.read_magic(part)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"{name} has version {version} of the format, which is for arrays of records")
    shape, _, dtype = readers[version](part)
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects")
    declared, held = math.prod(shape) * dtype.itemsize, size - part.tell()
    if min(shape, default=0) < 0 or declared != held:
        raise ValueError(
            f"{name} declares {declared:,} bytes and holds {held:,}"
            if declared < 10**18
            else f"{name} declares an impossible shape"
        )
