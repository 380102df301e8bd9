"""Which files hold one pair: one, or its shards. `pair.safetensors` in four is `pair-00001-of-00004.safetensors` and so on.

The names are those that Hugging Face gives to the shards of a model. An index, `pair.safetensors.index.json`, is written after
the shards and says what belongs together, by digest: shards of two different pairs would fit each other in every width. Its
content is not that of a model's index, which says in which file each tensor is: here every shard has some rows of every array.
"""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from kd2m_theory.errors import PairFileError
from kd2m_theory.files import content_digest, json_bytes, read_json, write_atomically

INDEX = ".index.json"
# Endings of the files that hold pairs.
PAIRS = (".safetensors", ".npz", ".csv", ".parquet")
_FORMAT, _VERSION = "kd2m-pair-shards", 1
_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5,})-of-(?P<shards>\d{5,})(?P<ending>\.[a-z]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a pair.

    Attributes:
        name: of all together.
        files: in the order of their rows.
    """

    name: str
    files: tuple[Path, ...]


def names_pair(path: Path) -> bool:
    """Whether a name is that of a pair, of a shard, or of an index of shards, by its ending."""
    return path.suffix in PAIRS or path.name.endswith(INDEX)


def short_name(path: Path) -> str:
    """The name of a pair without the folder, the ending and the number of a shard.

    Example:
        >>> short_name(Path("a/one.npz")), short_name(Path("a/one-00001-of-00004.npz")), short_name(Path("one.npz.index.json"))
        ('one', 'one', 'one')
    """
    match = _NAME.fullmatch(path.name)
    return match["stem"] if match else Path(path.name.removesuffix(INDEX)).stem


def shard_paths(path: Path, shards: int) -> list[Path]:
    """The names of the shards of a pair, numbered from 1."""
    return [path.with_name(f"{path.stem}-{k:05d}-of-{shards:05d}{path.suffix}") for k in range(1, shards + 1)]


def index_path(path: Path) -> Path:
    """The name of the index of a pair's shards."""
    return path.with_name(path.name + INDEX)


def refuse_other_files(path: Path, shards: int | None) -> None:
    """Refuse to write a pair beside files of the same pair that stay: its name, or its folder, would then stand for either.

    Args:
        path: of the pair.
        shards: in how many it is to be written; None for one file.

    Raises:
        PairFileError: naming one of the files.
    """
    if shards is not None and os.path.lexists(path):
        raise PairFileError(f"{path.name} is there in one file, which would be read instead; delete it, or choose another name")
    for file in _family(path.parent, path.stem, path.suffix):
        match = _NAME.fullmatch(file.name)
        if match and int(match["shards"]) != shards:
            planned = "the one file" if shards is None else f"the {shards:,}"
            raise PairFileError(
                f"{file.name} is a shard of another number of shards than {planned} to be written; delete those of "
                f"{path.name} first, or choose another name"
            )


def write_index(path: Path, rows: Iterable[int], shards: Iterable[Path]) -> None:
    """Say which shards a pair has, after they were written.

    Args:
        path: of the pair.
        rows: of each shard; of the longer side where the two networks saw different inputs.
        shards: the files.

    Raises:
        InputError: nothing can be written there.
    """
    listed = [
        {"file": shard.name, "rows": size, "digest": content_digest(shard)} for size, shard in zip(rows, shards, strict=True)
    ]
    write_atomically(index_path(path), json_bytes({"format": _FORMAT, "format_version": _VERSION, "shards": listed}))


def pair_files(path: Path) -> Found:
    """The files of a pair.

    Args:
        path: a file; any shard; the name of the pair that was cut into shards; its index; a folder with the shards of one pair;
            or a pattern, as "preds-*.parquet", for files of any names, which are taken in the order of their names with
            numbers in them compared as numbers.

    Raises:
        PairFileError: nothing is there, a shard is missing or there twice, a folder has shards of several pairs or none, files
            of a pattern have different endings, or shards are not those of their index.
    """
    if path.name.endswith(INDEX):
        return _of_index(path)
    if os.path.isdir(path):
        return _of_folder(path)
    match = _NAME.fullmatch(path.name)
    if match and match["ending"] in PAIRS:
        return _of_family(path.parent, match["stem"], match["ending"])
    if os.path.exists(path):
        return Found(path.name, (path,))
    if path.suffix in PAIRS and _family(path.parent, path.stem, path.suffix):
        return _of_family(path.parent, path.stem, path.suffix)
    if glob.has_magic(str(path)):
        return _of_pattern(path)
    return Found(path.name, (path,))


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, by name.

    Raises:
        PairFileError: it cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as reason:
        raise PairFileError(f"the folder {folder} cannot be read ({reason.strerror})") from None


def _of_index(path: Path) -> Found:
    name = path.name.removesuffix(INDEX)
    table = _read_index(path)
    return _checked(name, [path.with_name(each["file"]) for each in table], path)


def _of_folder(folder: Path) -> Found:
    matches = [match for file in _listed(folder) if (match := _NAME.fullmatch(file.name)) and match["ending"] in PAIRS]
    families = sorted({(match["stem"], match["ending"]) for match in matches})
    if not families:
        raise PairFileError(
            f"{folder} is not a pair file (it is a folder) and has no shards, such as pair-00001-of-00004.safetensors; name a "
            f"file in it, or a pattern such as '{folder}/*.parquet'"
        )
    if len(families) > 1:
        listed = ", ".join(stem + ending for stem, ending in families[:5])
        raise PairFileError(
            f"{folder} holds the shards of {len(families)} pairs, {listed}; name one of them, as "
            f"{folder}/{families[0][0]}{families[0][1]}"
        )
    return _of_family(folder, *families[0])


def _of_pattern(pattern: Path) -> Found:
    # A folder that is there is no pattern, whatever brackets its name has.
    folder = glob.escape(str(pattern.parent)) if os.path.isdir(pattern.parent) else str(pattern.parent)
    files = [Path(name) for name in glob.glob(os.path.join(folder, pattern.name)) if not name.endswith(INDEX)]
    if not files:
        raise PairFileError(f"there is no file {pattern}")
    endings = sorted({file.suffix for file in files})
    if len(endings) > 1:
        raise PairFileError(f"{pattern} names files that end in {', '.join(endings)}; shards of one pair have one ending")
    matches = [_NAME.fullmatch(file.name) for file in files]
    families = {(file.parent, match["stem"], match["ending"]) for file, match in zip(files, matches, strict=True) if match}
    if len(families) == 1 and all(matches):
        return _checked_family(files, *families.pop())
    return Found(pattern.name, tuple(sorted(files, key=_natural)))


def _natural(path: Path) -> list[Any]:
    """A key that sorts part-2 before part-10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if k % 2 else (-1, part) for k, part in enumerate(parts)]


def _family(folder: Path, stem: str, ending: str) -> list[Path]:
    """Every file with the name of a shard of a pair."""
    if not os.path.isdir(folder):
        return []
    matches = ((file, _NAME.fullmatch(file.name)) for file in _listed(folder))
    return [file for file, match in matches if match and (match["stem"], match["ending"]) == (stem, ending)]


def _of_family(folder: Path, stem: str, ending: str) -> Found:
    return _checked_family(_family(folder, stem, ending), folder, stem, ending)


def _checked_family(files: list[Path], folder: Path, stem: str, ending: str) -> Found:
    """Shards in order, numbered from 1 as those of models are, or from 0 as those of data sets.

    Raises:
        PairFileError: some are missing, or shards of other numbers of shards are among them.
    """
    name = stem + ending
    found = [(file, match) for file in files if (match := _NAME.fullmatch(file.name))]
    counts = sorted({int(match["shards"]) for _, match in found})
    if not counts:
        raise PairFileError(f"there is no shard of {folder / name}")
    if len(counts) > 1:
        raise PairFileError(
            f"{folder} holds shards of {name} of {' and of '.join(f'{count:,}' for count in counts)}; keep those of one number"
        )
    numbers = {int(match["number"]): file for file, match in found}
    twice = [number for number, times in Counter(int(match["number"]) for _, match in found).items() if times > 1]
    if twice:
        raise PairFileError(f"shard {twice[0]} of {name} is there twice, as {numbers[twice[0]].name}; keep one")
    first = 0 if 0 in numbers else 1
    expected = range(first, first + counts[0])
    # A name may speak of more shards than could be counted: six that are missing are enough.
    missing = list(islice((number for number in expected if number not in numbers), 6))
    if missing:
        listed = ", ".join(f"{number:05d}" for number in missing[:5]) + (", …" if len(missing) > 5 else "")
        raise PairFileError(
            f"{name} lacks {'shard' if len(missing) == 1 else 'shards'} {listed} of {counts[0]:,} in {folder}; copy "
            f"{'it' if len(missing) == 1 else 'them'} there, or write the pair again"
        )
    beyond = next((number for number in numbers if number not in expected), None)
    if beyond is not None:
        raise PairFileError(
            f"{numbers[beyond].name} has a number beyond {counts[0]:,}; shards are numbered from 1, or all from 0"
        )
    index = folder / (name + INDEX)
    return _checked(name, [numbers[number] for number in expected], index if os.path.lexists(index) else None)


def _checked(name: str, files: list[Path], index: Path | None) -> Found:
    """The shards, if they are those of the index: the same files with the same content.

    Raises:
        PairFileError: naming the shard that is not.
    """
    for file in files:
        if not os.path.exists(file):
            raise PairFileError(f"there is no file {file}, a shard of {name}")
    if index is not None:
        listed = {each["file"]: each["digest"] for each in _read_index(index)}
        if set(listed) != {file.name for file in files}:
            other = sorted(set(listed) ^ {file.name for file in files})[0]
            raise PairFileError(f"{index.name} lists other shards than there are ({other}); write the pair again")
        for file in files:
            if content_digest(file) != listed[file.name]:
                raise PairFileError(
                    f"{file.name} is not the shard that {index.name} lists: its content differs. Write the pair again, or "
                    "delete the index if you changed the shard on purpose"
                )
    return Found(name, tuple(files))


def _read_index(path: Path) -> list[dict[str, str]]:
    what = f"{path.name} is not the index of a pair's shards"
    table = read_json(path, what, PairFileError)
    shards = table.get("shards")
    if table.get("format") != _FORMAT or not isinstance(shards, list) or not shards:
        raise PairFileError(f"{what}; an index is written by Pair.save(…, shard_rows=…)")
    if table.get("format_version") != _VERSION:
        raise PairFileError(
            f"{path.name} has version {table.get('format_version')}; this kd2m-theory reads version {_VERSION}: upgrade it"
        )
    for each in shards:
        texts = isinstance(each, dict) and all(isinstance(each.get(key), str) for key in ("file", "digest"))
        if not texts or each["file"] in ("", ".", "..") or re.search(r"[/\\\0]", each["file"]):
            raise PairFileError(f"{what} (a shard has no name of a file beside it)")
    if len({each["file"] for each in shards}) < len(shards):
        raise PairFileError(f"{what} (a shard is there twice)")
    return shards
