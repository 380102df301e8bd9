"""Ways to damage a file, or to build a hostile one. Each is a function of random numbers and of whole bytes."""

import bz2
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from kd2m_theory.validation.evidence import file_material

Mutation = Callable[[np.random.Generator, bytes], bytes]
# Bytes of the arrays that a small file declares or unpacks to.
_HUGE = 2**32


def _place(rng: np.random.Generator, data: bytes) -> int:
    """Headers are as likely as all the rest."""
    top = min(len(data), 200) if rng.random() < 0.5 else len(data)
    return int(rng.integers(max(1, top)))


def _truncated(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: _place(rng, data)]


def _flipped(rng: np.random.Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9)) if changed else 0):
        changed[_place(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwritten(rng: np.random.Generator, data: bytes) -> bytes:
    start, size, filler = _place(rng, data), int(rng.integers(1, 65)), (b"\0", b"\xff", b"9")[int(rng.integers(3))]
    return data[:start] + filler * size + data[start + size :]


def _inserted(rng: np.random.Generator, data: bytes) -> bytes:
    start = _place(rng, data)
    return data[:start] + rng.bytes(int(rng.integers(1, 33))) + data[start:]


def _cut_out(rng: np.random.Generator, data: bytes) -> bytes:
    start = _place(rng, data)
    return data[:start] + data[start + int(rng.integers(1, 65)) :]


def _doubled(rng: np.random.Generator, data: bytes) -> bytes:
    return data + data if rng.random() < 0.5 else data + rng.bytes(64)


def _foreign(rng: np.random.Generator, _data: bytes) -> bytes:
    picks: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: b"\0" * 100,
        lambda: b"{}",
        lambda: b"PK\x05\x06" + b"\0" * 18,
        lambda: b"\x80\x04N.",
        lambda: b"PAR1" + b"\0" * 20 + b"PAR1",
        file_material.npz,
        file_material.safetensors,
        lambda: rng.bytes(500),
    ]
    return picks[int(rng.integers(len(picks)))]()


BYTES: Mapping[str, Mutation] = {
    "truncated": _truncated,
    "bits flipped": _flipped,
    "bytes overwritten": _overwritten,
    "bytes inserted": _inserted,
    "bytes cut out": _cut_out,
    "doubled or with a tail": _doubled,
    "another kind of file": _foreign,
}


def _number(words: str) -> Mutation:
    """A number of the text is replaced."""

    def change(rng: np.random.Generator, data: bytes) -> bytes:
        text = data.decode()
        found = list(re.finditer(r"(?<![\w.-])-?\d+(\.\d+)?([eE]-?\d+)?(?![\w.-])", text))
        if not found:
            return data + words.encode()
        at = found[int(rng.integers(len(found)))]
        return (text[: at.start()] + words + text[at.end() :]).encode()

    return change


def _value(words: str) -> Mutation:
    """What a key of TOML or JSON is set to is replaced."""

    def change(rng: np.random.Generator, data: bytes) -> bytes:
        text = data.decode()
        found = list(re.finditer(r"(?<=[=:] )[^\n#,{}\[\]]+(?=[\n,}])", text))
        if not found:
            return data + words.encode()
        at = found[int(rng.integers(len(found)))]
        return (text[: at.start()] + words + text[at.end() :]).encode()

    return change


def _line(words: bytes) -> Mutation:
    """A line is added."""

    def change(rng: np.random.Generator, data: bytes) -> bytes:
        lines = data.split(b"\n")
        lines.insert(int(rng.integers(len(lines) + 1)), words)
        return b"\n".join(lines)

    return change


def _without_a_line(rng: np.random.Generator, data: bytes) -> bytes:
    lines = data.split(b"\n")
    del lines[int(rng.integers(len(lines)))]
    return b"\n".join(lines)


TEXT: Mapping[str, Mutation] = {
    "a number of 5,000 digits": _number("9" * 5000),
    "a number beyond float64": _number("1e999"),
    "a negative number": _number("-1"),
    "not a number": _number("nan"),
    "a number that is a text": _number('"12"'),
    "a large number": _number("4000000000"),
    "nested 100,000 deep": _value("[" * 100_000),
    "a value that is a list": _value("[1, [2, [3]]]"),
    "a value that is a table": _value("{ a = 1 }"),
    "a value that is true": _value("true"),
    "a lone surrogate": _value(r'"\ud800"'),
    "markup in a text": _value('"[/red][bold]\\u001b[31m"'),
    "a byte order mark": lambda _rng, data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda _rng, data: data.decode().encode("utf-16"),
    "a Latin-1 byte": _line(b"# \xe9t\xe9"),
    "a zero byte": _line(b"\0"),
    "an unknown key": _line(b'surprise = "x"'),
    "a table of no name": _line(b"[]"),
    "a line less": _without_a_line,
    "a very long line": _line(b"# " + b"x" * 5_000_000),
    "a key of 20,000 parts": _line(b"a" + b".a" * 20_000 + b" = 1"),
    "a number of 6,000 hexadecimal digits": _number("0x" + "f" * 6000),
    "a number of 400 digits": _number("9" * 400),
    "a text with a zero": _value('"a\\u0000b"'),
    "right to left": _value('"\u202egnp.\u2066x"'),
    "an empty text": _value('""'),
    "a path elsewhere": _value('"../../../../dev/zero"'),
    "code that is loaded": _value('"os:abort"'),
}


@cache
def _many_rows() -> bytes:
    """Some kilobytes that declare a billion numbers."""
    import pyarrow
    import pyarrow.parquet

    buffer, rows = io.BytesIO(), pyarrow.nulls(2**22, pyarrow.float64())
    piece = pyarrow.table({"epoch": rows})
    with pyarrow.parquet.ParquetWriter(buffer, piece.schema) as file:
        for _ in range(256):
            file.write_table(piece)
    return buffer.getvalue()


def _columns(change: Callable[[np.random.Generator, Any], Any]) -> Mutation:
    """The table of a Parquet file is changed."""

    def mutate(rng: np.random.Generator, data: bytes) -> bytes:
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(io.BytesIO(data))
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(change(rng, table).replace_schema_metadata(table.schema.metadata), buffer)
        return buffer.getvalue()

    return mutate


def _another_type(rng: np.random.Generator, table: Any) -> Any:
    import pyarrow

    k = int(rng.integers(table.num_columns))
    kinds = (pyarrow.string(), pyarrow.float16(), pyarrow.int8(), pyarrow.list_(pyarrow.float64()), pyarrow.null())
    return table.set_column(k, table.column_names[k], pyarrow.nulls(len(table), kinds[int(rng.integers(len(kinds)))]))


def _without_values(rng: np.random.Generator, table: Any) -> Any:
    import pyarrow

    k = int(rng.integers(table.num_columns))
    return table.set_column(k, table.schema.field(k), pyarrow.nulls(len(table), table.schema.field(k).type))


PARQUET: Mapping[str, Mutation] = {
    "a billion rows declared": lambda _rng, _data: _many_rows(),
    "no rows": _columns(lambda _rng, table: table.slice(0, 0)),
    "one row": _columns(lambda _rng, table: table.slice(0, 1)),
    "rows twice": _columns(lambda _rng, table: table.take([*range(len(table)), *range(len(table))])),
    "a column less": _columns(lambda rng, table: table.remove_column(int(rng.integers(table.num_columns)))),
    "another type of a column": _columns(_another_type),
    "a column without values": _columns(_without_values),
}


def _header(change: Callable[[np.random.Generator, dict[str, Any]], Any]) -> Mutation:
    """The header of a safetensors file is edited."""

    def mutate(rng: np.random.Generator, data: bytes) -> bytes:
        header, tensors = file_material.header_of(data)
        changed = change(rng, header)
        text = changed if isinstance(changed, str) else json.dumps(header if changed is None else changed)
        return file_material.with_header(text.encode(errors="surrogatepass"), tensors)

    return mutate


def _any_tensor(rng: np.random.Generator, header: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in header if name != "__metadata__"]
    tensor: dict[str, Any] = header[names[int(rng.integers(len(names)))]]
    return tensor


def _another_dtype(rng: np.random.Generator, header: dict[str, Any]) -> None:
    _any_tensor(rng, header)["dtype"] = str(
        rng.choice(["BF16", "F16", "F8_E4M3", "I64", "U8", "BOOL", "F64", "F32", "C64", "x"])
    )


def _another_shape(rng: np.random.Generator, header: dict[str, Any]) -> None:
    shapes: list[list[Any]] = [[], [0], [-1], [2**40, 2**40], [1] * 70, [2**63], ["a"], [1.5], [8, 3, 1], [3, 8]]
    _any_tensor(rng, header)["shape"] = shapes[int(rng.integers(len(shapes)))]


def _other_offsets(rng: np.random.Generator, header: dict[str, Any]) -> None:
    offsets: list[list[Any]] = [[0, 0], [0, _HUGE], [-8, 8], [8, 0], [2**63, 2**63], [0], ["0", "8"]]
    _any_tensor(rng, header)["data_offsets"] = offsets[int(rng.integers(len(offsets)))]


def _other_metadata(rng: np.random.Generator, header: dict[str, Any]) -> None:
    known: dict[str, Any] = dict(header["__metadata__"])
    name = str(rng.choice(list(known)))
    values: list[Any] = [
        "",
        "[]",
        "{",
        "null",
        "9" * 5000,
        "[" * 100_000,
        '"\\ud800"',
        "NaN",
        '{"a": {"b": [1]}}',
        "2",
        7,
        None,
    ]
    known[name] = values[int(rng.integers(len(values)))]
    header["__metadata__"] = known


def _without_metadata(rng: np.random.Generator, header: dict[str, Any]) -> None:
    if rng.random() < 0.3:
        header["__metadata__"] = [1]
    else:
        known = header.pop("__metadata__")
        known.pop(str(rng.choice(list(known))))
        if rng.random() < 0.7:
            header["__metadata__"] = known


def _renamed(rng: np.random.Generator, header: dict[str, Any]) -> None:
    name = next(name for name in header if name != "__metadata__")
    names = ["", "../../x", "\ud800", "[/red]", "x" * 10_000, "features_teacher\n", "labels "]
    header[names[int(rng.integers(len(names)))]] = header.pop(name)


HEADER: Mapping[str, Mutation] = {
    "another dtype in the header": _header(_another_dtype),
    "another shape in the header": _header(_another_shape),
    "other offsets in the header": _header(_other_offsets),
    "other metadata": _header(_other_metadata),
    "metadata missing": _header(_without_metadata),
    "another name in the header": _header(_renamed),
    "a header of many tensors": _header(lambda _rng, header: header | {f"t{k}": dict(header["labels"]) for k in range(20_000)}),
    "a nested header": _header(lambda _rng, _header: "[" * 100_000),
    "a header that is longer than the file": lambda _rng, data: struct.pack("<Q", 2**62) + data[8:],
}


def _npy(dtype: str, shape: str, body: bytes = b"") -> bytes:
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    padded = text + b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + body


def _members(change: Callable[[np.random.Generator, dict[str, Any]], None], method: int = zipfile.ZIP_STORED) -> Mutation:
    """An .npz whose members, arrays or raw bytes, were changed."""

    def mutate(rng: np.random.Generator, _data: bytes) -> bytes:
        members: dict[str, Any] = dict(file_material.arrays())
        change(rng, members)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as file:
            for name, value in members.items():
                if not isinstance(value, bytes):
                    inner = io.BytesIO()
                    np.save(inner, value, allow_pickle=True)
                    value = inner.getvalue()
                file.writestr(f"{name}.npy", value)
        return buffer.getvalue()

    return mutate


def _any_member(rng: np.random.Generator, members: dict[str, Any]) -> str:
    return str(rng.choice(list(members)))


def _cast(rng: np.random.Generator, members: dict[str, Any]) -> None:
    name = _any_member(rng, members)
    kinds: list[Any] = ["f2", "c16", "?", "U3", "S3", "O", ">f8", "i1", "u8", "M8[s]", "g", [("a", "f8")]]
    kind = kinds[int(rng.integers(len(kinds)))]
    values = members[name]
    if isinstance(kind, str) and kind[0] in "M":
        values = values.astype(np.int64)
    members[name] = (
        np.array([(each,) for each in values.ravel()], dtype=kind) if isinstance(kind, list) else values.astype(kind)
    )


def _reshaped(rng: np.random.Generator, members: dict[str, Any]) -> None:
    name = _any_member(rng, members)
    value = members[name]
    shapes = [value[:0], value[None], value.ravel()[:1].reshape(()), value[..., None], value[:1], value.ravel(), value[::-1].T]
    members[name] = shapes[int(rng.integers(len(shapes)))]


def _special(rng: np.random.Generator, members: dict[str, Any]) -> None:
    name = _any_member(rng, members)
    value = members[name].astype(np.float64)
    value.ravel()[int(rng.integers(value.size))] = rng.choice([np.nan, np.inf, -np.inf, 1e151, -1.0, 1e18, 0.5, -100.0])
    members[name] = value


def _declared(rng: np.random.Generator, members: dict[str, Any]) -> None:
    forms = [
        ("'<f8'", f"({_HUGE}, 3)"),
        ("'<f8'", "(-1, 3)"),
        ("'<f8'", f"({'9' * 5000}, 3)"),
        ("'<f8'", "(1.5,)"),
        ("'|O'", "(2,)"),
        ("'<f8'", "(" * 1000),
        ("'<U999999999'", "(4,)"),
        ("[('a', '<f8')]", "(4,)"),
        ("__import__('os')", "(4,)"),
        ("'<f8'", "(0, 0)"),
    ]
    dtype, shape = forms[int(rng.integers(len(forms)))]
    members[_any_member(rng, members)] = _npy(dtype, shape, b"\0" * 64)


# Unpacked bytes of a bomb: more than a command may need.
_BOMB = 9 * 2**27


@cache
def _bombed() -> bytes:
    """A megabyte that unpacks to 1.1 GiB, made piece by piece, because a worker may not hold it either."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("features_teacher.npy", "w", force_zip64=True) as member:
            member.write(_npy("'<f8'", f"({_BOMB // 24}, 3)"))
            for _ in range(_BOMB // 2**20):
                member.write(b"\0" * 2**20)
        for name in ("features_student", "labels"):
            file.writestr(f"{name}.npy", _npy("'<f8'", "(1, 3)", b"\0" * 24))
    return buffer.getvalue()


def _renamed_member(rng: np.random.Generator, members: dict[str, Any]) -> None:
    names = ["", "../../x", "[/red]", "x" * 10_000, "labels\n", "labels/labels", "été", "features_teacher.npy"]
    members[names[int(rng.integers(len(names)))]] = members.pop(_any_member(rng, members))


def _twice(rng: np.random.Generator, data: bytes) -> bytes:
    buffer = io.BytesIO(data)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile says that the name is taken, which is the point
        with zipfile.ZipFile(buffer, "a") as file:
            file.writestr("labels.npy", _npy("'<i8'", "(8,)", b"\0" * 64))
    return buffer.getvalue()


def _encrypted(rng: np.random.Generator, data: bytes) -> bytes:
    """The flag of encryption is set everywhere."""
    changed = bytearray(data)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = changed.find(mark)
        while start >= 0:
            if start + at < len(changed):  # the archive may be cut off
                changed[start + at] |= 1
            start = changed.find(mark, start + 4)
    return bytes(changed)


def _method(rng: np.random.Generator, data: bytes) -> bytes:
    """Another method of compression is declared."""
    changed, method = bytearray(data), int(rng.choice([8, 9, 12, 14, 93, 99, 65535]))
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = changed.find(mark)
        while start >= 0:
            changed[start + at : start + at + 2] = struct.pack("<H", method)
            start = changed.find(mark, start + 4)
    return bytes(changed)


def _flag(rng: np.random.Generator, members: dict[str, Any]) -> None:
    values = [np.array("no"), np.array([True, False]), np.array(2), np.array(None, dtype=object), np.array(b"\xff")]
    members[str(rng.choice(["inputs_paired", "format_version"]))] = values[int(rng.integers(len(values)))]


NPZ: Mapping[str, Mutation] = {
    "another dtype": _members(_cast),
    "another shape": _members(_reshaped),
    "a special value": _members(_special),
    "a declared shape or dtype": _members(_declared),
    "a zip bomb": lambda _rng, _data: _bombed(),
    "another name": _members(_renamed_member),
    "a name twice": _twice,
    "marked as encrypted": _encrypted,
    "another compression": _method,
    "packed with bzip2": _members(lambda _rng, _members: None, zipfile.ZIP_BZIP2),
    "packed with lzma": _members(lambda _rng, _members: None, zipfile.ZIP_LZMA),
    "odd flags": _members(_flag),
    "not a zip": lambda _rng, data: bz2.compress(data),
}
