"""Tables of runs and campaigns: a TOML file, or a shipped one by its name, with changes from the command line."""

import copy
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import InputError
from kd2m_theory.files import read_bytes

# The key of a file under which it names variants of itself, and the one that chooses among them.
_VARIANTS, _CHOSEN = "variants", "variant"
# In a change: every entry of a list.
_EVERY = "*"
# Bytes; configurations have some thousand.
_LARGEST = 2**18
# A key of more than fifty parts.
_DEEP = re.compile(r"""(?:\.[ \t]*+(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+){50}""")


def read_table(source: str | Path, what: str, shipped: Traversable, changes: Iterable[str] = ()) -> dict[str, Any]:
    """The table in a TOML file, or the shipped one of that name.

    Args:
        source: a path, or one of `names`.
        what: it is, in words: "configuration".
        shipped: folder of the shipped ones.
        changes: "key=value" in the place of what the file says. A key is dotted, counts entries of a list from 1, and has * for
            every entry; a value is one of TOML, or bare words. Of a file with variants, "variant=NAME" chooses one. Another
            name of a population or an objective brings its own defaults: options that the file has for the former one are left
            out.

    Raises:
        InputError: no such file or name (the message has the nearest), no TOML, no such variant, or a change that does not fit.
    """
    known = _named(shipped)
    # A link to nothing and a loop of links are refused as what they are.
    if Path(source).is_file() or (os.path.lexists(source) and str(source) not in known):
        table, variant = _parsed(Path(source), str(source)), None
    elif str(source) in known:
        file, variant = known[str(source)]
        table = _parsed(file, str(source))
    else:
        raise InputError(
            f"there is no file {source}, nor a {what} of that name; {did_you_mean(source, tuple(known))}"
            f"shipped ones are {', '.join(known)}"
        )
    parsed = [_change(each) for each in changes]
    for path, value, _ in parsed:
        if path == [_CHOSEN]:
            variant = value
    table = _varied(table, variant, str(source))
    # Names first: the options beside one are its own, in whatever order they are said.
    for path, value, words in sorted(parsed, key=lambda change: change[0][-1] != "name"):
        if path != [_CHOSEN]:
            _apply(table, path, value, words)
    return table


def names(shipped: Traversable) -> tuple[str, ...]:
    """Names of the shipped tables: FILE, and FILE-VARIANT where a file has variants."""
    return tuple(_named(shipped))


def _named(shipped: Traversable) -> dict[str, tuple[Traversable, str | None]]:
    found: dict[str, tuple[Traversable, str | None]] = {}
    for file in shipped.iterdir():
        if file.name.endswith(".toml"):
            stem = file.name.removesuffix(".toml")
            found[stem] = file, None
            for variant in _parsed(file, file.name).get(_VARIANTS, {}):
                found[f"{stem}-{variant}"] = file, variant
    return dict(sorted(found.items()))


def _parsed(file: Traversable, name: str) -> dict[str, Any]:
    data = read_bytes(file, f"{name} cannot be read", largest=_LARGEST) if isinstance(file, Path) else file.read_bytes()
    try:
        return toml(data.decode("utf-8-sig"))  # editors of Windows put a byte order mark before the first letter
    except UnicodeDecodeError:
        raise InputError(f"{name} is not TOML: it is not UTF-8") from None
    except ValueError as error:
        raise InputError(f"{name} is not TOML: {error}") from None


def toml(text: str) -> dict[str, Any]:
    """What a text of TOML says.

    Raises:
        ValueError: it is not TOML, is nested too deep, or has a whole number of more than 64 bits.
    """
    if _DEEP.search(text):  # the parser's time grows with the square of the depth
        raise ValueError("it is nested too deep")
    try:
        found = tomllib.loads(text)
        _check_numbers(found)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return found


def _check_numbers(value: Any) -> None:
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,):
        if isinstance(each, dict | list):
            _check_numbers(each)
        elif isinstance(each, int) and not -(2**63) <= each < 2**63:
            raise ValueError("it has a whole number of more than 64 bits")


def _varied(table: dict[str, Any], variant: Any, name: str) -> dict[str, Any]:
    variants = table.pop(_VARIANTS, None)
    if variant is None:
        return table
    chosen = variants.get(variant) if isinstance(variants, Mapping) and isinstance(variant, str) else None
    if not isinstance(chosen, Mapping):
        known = tuple(variants) if isinstance(variants, Mapping) else ()
        has = f"; {did_you_mean(variant, known)}variants are {', '.join(known)}" if known else ""
        raise InputError(f"{name} has no variant {variant!r}{has}")
    return _merged(table, chosen)


def _merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The table with keys replaced. An objective is replaced whole: options of one mean nothing to another."""
    result = dict(table)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(table.get(key), Mapping) and key != "objective"
        result[key] = _merged(table[key], value) if both else value
    return result


def _change(words: str) -> tuple[list[str], Any, str]:
    """Path, value, and the words themselves."""
    key, equals, text = words.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path) or not text.strip():
        raise InputError(f"{words!r} is not key=value; write for example objective.weight=1e-3")
    try:
        return path, toml(f"value = {text}")["value"], words
    except ValueError as error:
        if text.strip()[0] in "\"'[{":  # meant as TOML
            raise InputError(f"the value of {words!r} is not TOML ({error}); write for example objective.weight=1e-3") from None
        return path, text.strip(), words


def _apply(table: Any, path: list[str], value: Any, words: str) -> None:
    *above, last = path
    places = [table]
    for part in above:
        places = [entry for place in places for entry in _entries(place, part, words)]
    for place in places:
        own = copy.deepcopy(value)  # a later change into one entry leaves the others alone
        if isinstance(place, list):
            for index in _indices(place, last, words):
                place[index] = own
        elif isinstance(place, dict):
            if last == "name" and place.get(last, value) != value:
                place.clear()  # options of one objective or population mean nothing to another
            place[last] = own
        else:
            raise InputError(f"{words!r} goes into {above[-1]!r}, which is not a table")


def _entries(table: Any, part: str, words: str) -> list[Any]:
    if isinstance(table, list):
        return [table[index] for index in _indices(table, part, words)]
    if isinstance(table, dict):
        return [table.setdefault(part, {})]
    raise InputError(f"{words!r} goes through {part!r} of what is not a table")


def _indices(entries: list[Any], part: str, words: str) -> range:
    if part == _EVERY and entries:
        return range(len(entries))
    if not part.isdecimal() or not 1 <= int(part) <= len(entries):
        raise InputError(
            f"{words!r} names entry {part!r} of a list of {len(entries)}; count from 1, or write {_EVERY} for every entry"
        )
    return range(int(part) - 1, int(part))
