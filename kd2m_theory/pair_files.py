"""Files of pairs, written and read: one, or several with the rows of one pair (see `shards`)."""

import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from kd2m_theory.checks import whole as whole_number
from kd2m_theory.errors import InputError, PairFileError
from kd2m_theory.files import check_writable, opened, write_atomically
from kd2m_theory.shards import pair_files, refuse_other_files, shard_paths, write_index

FORMAT = "kd2m-pair"
FORMAT_VERSION = "1"
# Arrays with one row per sample, and of them the student's.
STUDENT = ("features_student", "logits_student", "labels_student")
ROWS = ("features_teacher", "logits_teacher", "labels", "groups", "row_numbers", *STUDENT)
_HEAD = ("head_weight", "head_bias")
_IN_PARQUET = ("logits_teacher", "logits_student", "labels", "class_names", "inputs_paired", "provenance")
# What an .npz may have besides.
_PROBABILITIES = ("probabilities_teacher", "probabilities_student")
_ALSO_NPZ = (*_PROBABILITIES, "class_names", "inputs_paired", "provenance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file says of a pair.

    Attributes:
        name: of the file.
        rows: values with one entry per sample: arrays, or lists of labels.
        whole: values that are the same for all samples, such as the head.
    """

    name: str
    rows: dict[str, Any]
    whole: dict[str, Any]


def read_pair(path: Path) -> dict[str, Any]:
    """Arguments of `Pair`, read from a file or from shards; `Pair.load` says which.

    Raises:
        PairFileError: as `Pair.load`.
        InputError: likewise.
        MissingDependencyError: likewise.
    """
    found = pair_files(path)
    contents = joined(found.name, [_read(file) for file in found.files])
    if found.files[0].suffix in (".csv", ".parquet") and not contents.whole:  # a .parquet of `Pair.save` says all
        from kd2m_theory.table_files import predictions

        return predictions(contents.name, contents.rows)
    return {"provenance": {"source": contents.name}, **contents.rows, **contents.whole}


def _read(path: Path) -> Contents:
    if path.suffix in (".csv", ".parquet"):
        from kd2m_theory.table_files import read_csv, read_parquet

        rows, whole = (read_csv(path), {}) if path.suffix == ".csv" else read_parquet(path)
        return Contents(name=path.name, rows=rows, whole=whole)
    readers = {".safetensors": _read_safetensors, ".npz": _read_npz}
    if path.suffix not in readers:
        with opened(path, f"{path} is not a pair file", PairFileError):
            stored = "; kd2m report shows a stored audit or comparison" if path.suffix == ".json" else ""
            raise PairFileError(
                f"{path.name} is neither .safetensors nor .npz, the formats of pairs, nor .csv or .parquet with "
                f"predictions{stored}"
            )
    with opened(path, f"{path} is not a pair file", PairFileError):  # a library would wait for a FIFO
        values = readers[path.suffix](path)
    rows = {name: value for name, value in values.items() if name in ROWS or name in _PROBABILITIES}
    return Contents(name=path.name, rows=rows, whole={name: value for name, value in values.items() if name not in rows})


def joined(name: str, parts: Sequence[Contents]) -> Contents:
    """The rows of all parts, in order.

    Raises:
        PairFileError: they have different arrays, widths or dtypes, or disagree in what is said of the whole pair; of two that
            disagree both are named.
    """
    first = parts[0]
    if len(parts) == 1:
        return Contents(name=name, rows=first.rows, whole=first.whole)
    whole = dict(first.whole)
    for part in parts[1:]:
        _check_names_agree(first, part)
        for key, value in part.whole.items():
            if key in _HEAD and key not in whole:
                whole[key] = value
            elif not _same(value, whole[key]):
                raise PairFileError(
                    f"{part.name} has another {key} than the shards before it{_where(value, whole[key])}; write both again"
                )
    rows = {key: _concatenated(key, parts) for key in first.rows}
    return Contents(name=name, rows=rows, whole=whole)


def _check_names_agree(first: Contents, part: Contents) -> None:
    one = {*first.rows, *first.whole}.difference(_HEAD)
    other = {*part.rows, *part.whole}.difference(_HEAD)
    for have, lack, missing in ((first, part, one - other), (part, first, other - one)):
        if missing:
            raise PairFileError(
                f"{lack.name} has no {', '.join(sorted(missing)[:5])}, and {have.name} has; shards of one pair have the same "
                "arrays"
            )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(one, other))
    return bool(one == other)


def _where(one: Any, other: Any) -> str:
    """The first entry of two mappings that differs."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return ""
    key = next(key for key in sorted({*one, *other}) if one.get(key) != other.get(key))
    return f" ({key}: {str(one.get(key))[:60]!r}, not {str(other.get(key))[:60]!r})"


def _concatenated(key: str, parts: Sequence[Contents]) -> Any:
    values = [part.rows[key] for part in parts]
    if isinstance(values[0], list):
        kinds = [{type(each) for each in value} for value in values]
        for part, kind in zip(parts, kinds, strict=True):
            if kind and kinds[0] and (str in kind) != (str in kinds[0]):
                raise PairFileError(
                    f"{part.name} has {key} of another kind than {parts[0].name}: texts in one, numbers in the other"
                )
        return [each for value in values for each in value]
    for part, value in zip(parts, values, strict=True):
        if value.ndim == 0 or value.shape[1:] != values[0].shape[1:]:
            raise PairFileError(
                f"{part.name} has {key} of shape {_shape(value)}, and {parts[0].name} of {_shape(values[0])}; shards differ in "
                "their numbers of rows alone"
            )
        # Texts have as many letters as the longest of them.
        if value.dtype != values[0].dtype and not value.dtype.kind == values[0].dtype.kind == "U":
            raise PairFileError(
                f"{part.name} has {key} in {value.dtype}, and {parts[0].name} in {values[0].dtype}; write all shards in one"
            )
    return np.concatenate(values)


def _shape(array: Any) -> str:
    return "×".join(map(str, array.shape)) or "a single number"


def write_pair(path: Path, contents: Contents, shard_rows: int | None = None, shard_bytes: int | None = None) -> None:
    """Write a pair to a file, or to shards and their index; `Pair.save` says how.

    Raises:
        InputError: as `Pair.save`.
        MissingDependencyError: likewise.
    """
    writers: dict[str, Callable[[Contents], bytes]] = {
        ".safetensors": _safetensors_bytes,
        ".npz": _npz_bytes,
        ".parquet": _parquet_bytes,
    }
    if path.suffix not in writers:
        raise InputError(f"{path.name} does not end in {', '.join(writers)}, the formats pairs are written in")
    compact = {name: _compact(value) for name, value in contents.rows.items()}
    whole = {name: _compact(value) if name in _HEAD else value for name, value in contents.whole.items()}
    contents = Contents(name=contents.name, rows=compact, whole=whole)
    if shard_rows is None and shard_bytes is None:
        refuse_other_files(path, None)
        write_atomically(path, writers[path.suffix](contents))
        return
    step = _rows_of_a_shard(compact, shard_rows, shard_bytes)
    longest = max(len(value) for value in compact.values())
    starts = range(0, longest, step)
    files = shard_paths(path, len(starts))
    refuse_other_files(path, len(files))
    for file in files:
        check_writable(file)
    for start, file in zip(starts, files, strict=True):
        rows = {name: value[start : start + step] for name, value in compact.items()}
        head = whole if start == 0 else {name: value for name, value in whole.items() if name not in _HEAD}
        write_atomically(file, writers[path.suffix](Contents(name=file.name, rows=rows, whole=head)))
    write_index(path, (min(step, longest - start) for start in starts), files)


def _rows_of_a_shard(rows: Mapping[str, Any], shard_rows: int | None, shard_bytes: int | None) -> int:
    if shard_rows is not None and shard_bytes is not None:
        raise InputError("shard_rows and shard_bytes are both given; pass one of them")
    if shard_rows is not None:
        return whole_number(shard_rows, "shard_rows", 1)
    size: int = sum(value[:1].nbytes for value in rows.values())
    return max(1, whole_number(shard_bytes, "shard_bytes", 1) // size)


def _compact(array: Any) -> Any:
    """Float32 where that loses nothing: features of a float32 network need no float64 file."""
    if array.dtype == np.float64:
        with np.errstate(over="ignore", under="ignore"):
            single = array.astype(np.float32)
        if np.array_equal(single, array):
            return np.ascontiguousarray(single)
    return np.ascontiguousarray(array)


def _safetensors_bytes(contents: Contents) -> bytes:
    from safetensors.numpy import save

    whole = contents.whole
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "inputs_paired": json.dumps(whole["inputs_paired"]),
        "provenance": json.dumps(whole["provenance"], sort_keys=True),
    }
    if "class_names" in whole:
        metadata["class_names"] = json.dumps(whole["class_names"])
    tensors = contents.rows | {name: whole[name] for name in _HEAD if name in whole}
    return _in_order(save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, metadata))


def _npz_bytes(contents: Contents) -> bytes:
    whole = dict(contents.whole)
    whole["provenance"] = np.array(json.dumps(whole["provenance"], sort_keys=True))
    file = BytesIO()
    np.savez(file, **contents.rows, **whole, format_version=np.array(FORMAT_VERSION))
    return file.getvalue()


def _parquet_bytes(contents: Contents) -> bytes:
    from kd2m_theory.table_files import parquet_bytes

    other = sorted({*contents.rows, *contents.whole}.difference(_IN_PARQUET))
    if other or not contents.whole["inputs_paired"]:
        lost = other[0] if other else "inputs that the networks do not share"
        raise InputError(f"a .parquet holds logits and labels alone, and this pair has {lost}; write .safetensors or .npz")
    return parquet_bytes(contents.name, contents.rows, contents.whole)


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            _check_format(path, metadata.get("format"), metadata.get("format_version"))
            _check_names(path, file.keys())
            values: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise PairFileError(f"{path.name} is not a whole safetensors file ({error}); write it again") from None
    except (TypeError, AttributeError):
        raise PairFileError(f"{path.name} holds a number format coarser than float32 (bfloat16?); write float32") from None
    try:
        if "class_names" in metadata:
            values["class_names"] = _texts(json.loads(metadata["class_names"]))
        values["inputs_paired"] = json.loads(metadata["inputs_paired"])
        return values | {"provenance": dict(json.loads(metadata["provenance"]))}
    except (KeyError, ValueError, TypeError, RecursionError):
        raise PairFileError(f"{path.name} lacks its metadata; write it again with Pair.save") from None


def _texts(names: Any) -> list[str]:
    """Names of classes as `Pair.save` writes them; numbers among them would be looked up in labels.

    Raises:
        TypeError: anything but a list of texts.
    """
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError
    return names


def _read_npz(path: Path) -> dict[str, Any]:
    from kd2m_theory.archives import read_arrays

    values: dict[str, Any] = read_arrays(
        path, lambda names: _check_names(path, names - {"format_version"}, _ALSO_NPZ), PairFileError
    )
    _check_format(path, FORMAT, str(values.pop("format_version", FORMAT_VERSION)))
    values["inputs_paired"] = values["inputs_paired"][()] if "inputs_paired" in values else True
    if "provenance" in values:
        try:
            values["provenance"] = dict(json.loads(str(values["provenance"])))
        except (ValueError, TypeError, RecursionError):
            raise PairFileError(f"{path.name} has a provenance that Pair.save did not write; leave it out") from None
    return values


def _check_names(path: Path, names: Iterable[str], also: Sequence[str] = ()) -> None:
    known = (*ROWS, *_HEAD, *also)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise PairFileError(f"{path.name} holds {', '.join(unknown[:5])}, which no pair has; names are {', '.join(known)}")


def _in_order(file: bytes) -> bytes:
    """A safetensors file whose header is sorted: the library writes metadata in an order that differs from call to call."""
    (size,) = struct.unpack_from("<Q", file)
    header = json.dumps(json.loads(file[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + file[8 + size :]


def _check_format(path: Path, kind: str | None, written: str | None) -> None:
    if kind != FORMAT:
        raise PairFileError(f"{path.name} is a safetensors file of something else, not a pair; write it with Pair.save")
    if written != FORMAT_VERSION:
        raise PairFileError(
            f"{path.name} has pair format version {written}; this kd2m-theory reads version {FORMAT_VERSION}: upgrade it"
        )
