"""Damaged and hostile files through the command line."""

import contextlib
import io
import os
import resource
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType

import numpy as np

from kd2m_theory.validation.evidence import file_material as material
from kd2m_theory.validation.evidence.file_mutations import BYTES, HEADER, NPZ, PARQUET, TEXT, Mutation
from kd2m_theory.validation.evidence.suite import Case, Suite
from kd2m_theory.validation.evidence.workers import limit_memory

# What a command may need for a file that is small on disk: seconds of CPU, and of the clock, which a busy machine moves too.
SECONDS = 10.0
WAITING = 30.0
MEMORY = 2**30
_SHOWN = 300


@dataclass(frozen=True)
class Attempt:
    """A command on a damaged file.

    Attributes:
        words: what is typed after kd2m.
        strata: kind of file and what was done to it.
    """

    words: tuple[str, ...]
    strata: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What a command did.

    Attributes:
        status: its exit status; None if it did not exit by itself.
        error: what it wrote to standard error.
        raised: what came out of it, in words.
        seconds: how long it took.
    """

    status: int | None
    error: str
    raised: str
    seconds: float


# Entered around a command.
Limits = Callable[[], contextlib.AbstractContextManager[None]]


class _TooLongError(BaseException):
    """The command did not end in time; no handler of `Exception` may swallow it."""


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise _TooLongError


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Stop what works or waits for too long, or needs too much memory."""
    clocks = ((signal.SIGPROF, signal.ITIMER_PROF, SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, WAITING))
    before = [signal.signal(number, _stop) for number, _, _ in clocks]
    memory = limit_memory(MEMORY)
    try:
        for _, clock, seconds in clocks:
            signal.setitimer(clock, seconds)
        yield
    finally:
        for (number, clock, _), handler in zip(clocks, before, strict=True):
            signal.setitimer(clock, 0.0)
            signal.signal(number, handler)
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, memory)


@cache
def _command() -> Callable[[], None]:
    """The installed command, found as a shell finds it."""
    (found,) = entry_points(group="console_scripts", name="kd2m")
    main: Callable[[], None] = found.load()
    return main


def answer(words: tuple[str, ...], limits: Limits = _limits) -> Answer:
    """Type a command, in this process, with its streams captured and its time and memory limited."""
    error_bytes = io.BytesIO()
    out, err = (io.TextIOWrapper(each, encoding="utf-8", write_through=True) for each in (io.BytesIO(), error_bytes))
    typed, began = sys.argv, time.monotonic()
    status: int | None = None
    raised = ""
    try:
        sys.argv = ["kd2m", *words]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings(), limits():
            warnings.simplefilter("ignore")
            _command()()
            status = 0
    except _TooLongError:
        raised = f"no answer after {SECONDS:g} s of work or {WAITING:g} s of waiting"
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException as error:  # what a shell would show as a traceback
        raised = f"a traceback: {type(error).__name__}: {error}"
    finally:
        sys.argv = typed
    err.flush()
    text = bytes(error_bytes.getbuffer()).decode(errors="replace")
    return Answer(status, text, raised, time.monotonic() - began)


def verdict(found: Answer) -> str:
    """What is wrong with an answer; empty if it is a line and status 2, or an accepted file and status 0."""
    if found.raised:
        return found.raised[:_SHOWN]
    if "Traceback" in found.error:
        return f"a traceback on standard error: {found.error[-_SHOWN:]}"
    if found.status not in (0, 2):
        return f"status {found.status}: {found.error.strip()[:_SHOWN]}"
    if found.status == 0:
        return ""
    if "enough memory" in found.error or "allocate" in found.error:
        return f"refused only when {MEMORY / 2**30:g} GiB were not enough: {found.error.strip()[:_SHOWN]}"
    lines = found.error.strip().splitlines()
    return "" if len(lines) == 1 else f"{len(lines)} lines instead of one: {found.error.strip()[:_SHOWN]}"


def _place(name: str) -> Path:
    """An empty folder for one attempt, and a path in it."""
    folder = material.folder() / "attempt"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder / name


def _mutated(rng: np.random.Generator, data: bytes, ways: Mapping[str, Mutation]) -> tuple[str, bytes]:
    way = str(rng.choice(list(ways)))
    changed = ways[way](rng, data)
    if rng.random() < 0.1:  # damage on damage
        changed = BYTES[str(rng.choice(list(BYTES)))](rng, changed)
        way = f"{way}, damaged again"
    return way, changed


def _saved_pair(rng: np.random.Generator) -> Attempt:
    way, data = _mutated(rng, material.safetensors(), {**BYTES, **HEADER})
    path = _place("pair.safetensors")
    path.write_bytes(data)
    return Attempt(_audit(rng, path), {"file": "pair.safetensors", "damage": way})


def _npz_pair(rng: np.random.Generator) -> Attempt:
    way, data = _mutated(rng, material.npz(), {**BYTES, **NPZ})
    path = _place("pair.npz")
    path.write_bytes(data)
    return Attempt(_audit(rng, path), {"file": "pair.npz", "damage": way})


def _audit(rng: np.random.Generator, path: Path) -> tuple[str, ...]:
    if rng.random() < 0.15:
        return ("audit", str(_whole_pair(path.parent)), "--align", str(path))
    return ("audit", str(path))


def _whole_pair(folder: Path) -> Path:
    whole = folder / "whole.safetensors"
    whole.write_bytes(material.safetensors())
    return whole


def _run_configuration(rng: np.random.Generator) -> Attempt:
    # Not those whose images come from a hub: an accepted one would ask the network.
    name = str(rng.choice(["digits.toml", "mixture-cw2.toml", "glyphs-cw2.toml", "glyphs62-resnet-cw2.toml"]))
    way, data = _mutated(rng, material.configuration(name), {**BYTES, **TEXT})
    path = _place("run.toml")
    path.write_bytes(data)
    # No thread is refused after the configuration and the population are read: nothing is trained.
    words = ("train", str(path), "--out", str(path.with_name("run")), "--threads", "0")
    return Attempt(words, {"file": "configuration of a run", "damage": way})


def _campaign(rng: np.random.Generator) -> Attempt:
    way, data = _mutated(rng, material.campaign(str(rng.choice(["quick.toml", "gpu.toml"]))), {**BYTES, **TEXT})
    path = _place("campaign.toml")
    path.write_bytes(data)
    # No worker is refused after the campaign is read and checked: nothing is computed.
    words = ("validate", str(path), "--out", str(path.with_name("store")), "--workers", "0")
    return Attempt(words, {"file": "campaign", "damage": way})


# What each figure reads, all of it: a figure that lacks another table would be refused for that.
_TABLES = {
    "peers": ("transport.json", "gaussian.json", "losses.json", "mmd.json", "audit_scale.json"),
    "accuracy": ("papers.parquet",),
    "lambda-sweep": ("papers.parquet",),
    "embedding": ("papers.parquet",),
    "coverage": ("standard.parquet",),
    "tightness": ("standard.parquet",),
    "framework": ("framework.json",),
    "ladder": ("report.json",),
}


def _stored_table(rng: np.random.Generator) -> Attempt:
    figure = str(rng.choice(list(_TABLES)))
    name = str(rng.choice(_TABLES[figure]))
    way, data = _mutated(rng, material.stored(name), {**BYTES, **_BY_ENDING[Path(name).suffix]})
    path = _place(name)
    for each in _TABLES[figure]:
        path.with_name(each).write_bytes(data if each == name else material.stored(each))
    words = ("figures", "--only", figure, "--format", "json", "--from", str(path.parent), "--out", str(path.with_name("out")))
    return Attempt(words, {"file": f"stored table, {path.suffix}", "damage": way})


def _damaged_part(rng: np.random.Generator, root: Path, most: str = "") -> tuple[str, str]:
    """Damage one file of a folder; its name and how. One file out of three is of the ending that matters most, if any is."""
    names = material.owned_files(root)
    likely = [name for name in names if name.suffix == most]
    if likely and rng.random() < 1 / 3:
        names = likely
    path = root / names[int(rng.integers(len(names)))]
    kind, chance = path.suffix or path.name, rng.random()
    if chance < 0.1:
        path.unlink()
        return kind, "deleted"
    if chance < 0.3:
        what = str(rng.choice(list(_PATHS)))
        path.unlink()
        _PATHS[what](path)
        return kind, what
    way, data = _mutated(rng, path.read_bytes(), {**BYTES, **_BY_ENDING.get(path.suffix, {})})
    path.write_bytes(data)
    return kind, way


def _run_folder(rng: np.random.Generator) -> Attempt:
    source, whole = material.run()
    copy = material.copied(whole, "run-copy")
    if unfinished := rng.random() < 0.5:  # as if it was stopped: what is restored is the checkpoint
        (copy / "student.safetensors").unlink()
    kind, way = _damaged_part(rng, copy, ".ckpt" if unfinished else "")
    words = ("train", str(source), "--out", str(copy), "--resume")
    return Attempt(words, {"file": f"{'unfinished run' if unfinished else 'run'} folder, {kind}", "damage": way})


def _store(rng: np.random.Generator) -> Attempt:
    source, whole = material.store()
    copy = material.copied(whole, "store-copy")
    kind, way = _damaged_part(rng, copy)
    verb = str(rng.choice(["report", "merge", "resume"]))
    words = {
        "report": ("validate", "report", str(copy)),
        "merge": ("validate", "merge", str(_place("union")), str(whole), str(copy)),
        # No worker is refused after the store is read and checked: nothing is computed.
        "resume": ("validate", str(source), "--out", str(copy), "--resume", "--workers", "0"),
    }[verb]
    return Attempt(words, {"file": f"store, {kind}, {verb}", "damage": way})


def _stored_audit(rng: np.random.Generator) -> Attempt:
    way, data = _mutated(rng, material.stored("report.json"), {**BYTES, **TEXT})
    path = _place("report.json")
    path.write_bytes(data)
    words = ("report", str(path), *(("--report", str(path.with_name("r.html"))) if rng.random() < 0.3 else ()))
    return Attempt(words, {"file": "stored audit", "damage": way})


_BY_ENDING: Mapping[str, Mapping[str, Mutation]] = {".json": TEXT, ".parquet": PARQUET}


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _to_itself_and_back(path: Path) -> None:
    path.symlink_to("other")
    path.with_name("other").symlink_to(path.name)


_PATHS: Mapping[str, Callable[[Path], None]] = {
    "a FIFO that nobody writes": _fifo,
    "a link to itself": _loop,
    "a loop of links": _to_itself_and_back,
    "a link to nothing": lambda path: path.symlink_to("missing"),
    "a link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a link to an empty device": lambda path: path.symlink_to("/dev/null"),
    "a folder": lambda path: path.mkdir(),
    "a file without permissions": lambda path: path.touch(0),
    "nothing": lambda path: None,
    "an empty file": lambda path: path.touch(),
}
_STEMS = {
    "plain": "pair",
    "markup": "[/red][bold]x",
    "a Latin-1 byte": os.fsdecode(b"\xe9t\xe9"),
    "a line break": "a\nb",
    "an escape": "\x1b[31mred",
    "a dash": "-x",
    "a C1 control": "\x9b31m",
    "300 letters": "x" * 300,
    "right to left": "\u202egnp",
}


def _path(rng: np.random.Generator) -> Attempt:
    what, name = str(rng.choice(list(_PATHS))), str(rng.choice(list(_STEMS)))
    verb = str(rng.choice(["audit", "audit", "align", "show", "train", "teachers", "validate", "report", "merge", "figures"]))
    pairs = str(rng.choice([".npz", ".safetensors"]))
    ending = {"audit": pairs, "align": pairs, "show": ".json", "train": ".toml", "validate": ".toml"}.get(verb, "")
    path = _place(_STEMS[name] + ending)
    path.parent.mkdir(parents=True, exist_ok=True)  # a slash in the name
    with contextlib.suppress(OSError):  # a name that the system refuses is still a name that can be typed
        _PATHS[what](path)
    typed = str(path)
    words = {
        "audit": ("audit", typed),
        "align": ("audit", str(_whole_pair(path.parent)), "--align", typed, "--json", str(path.parent / "a.json")),
        "show": ("report", typed),
        "teachers": ("train", "mixture-cw2", "--out", str(path.parent / "run"), "--teachers", typed, "--threads", "0"),
        "merge": ("validate", "merge", str(path.parent / "union"), typed),
        "train": ("train", typed, "--out", str(path.parent / "run"), "--threads", "0"),
        "validate": ("validate", typed, "--out", str(path.parent / "store"), "--workers", "0"),
        "report": ("validate", "report", typed),
        "figures": ("figures", "--only", "accuracy", "--format", "json", "--from", typed, "--out", str(path.parent / "out")),
    }[verb]
    return Attempt(words, {"file": f"path, {verb}", "damage": what, "name": name})


KINDS: Mapping[str, tuple[float, Callable[[np.random.Generator], Attempt]]] = {
    "pair.safetensors": (0.25, _saved_pair),
    "pair.npz": (0.25, _npz_pair),
    "configuration of a run": (0.15, _run_configuration),
    "campaign": (0.12, _campaign),
    "stored table": (0.05, _stored_table),
    "path": (0.12, _path),
    "stored audit": (0.08, _stored_audit),
    "run folder": (0.04, _run_folder),
    "store": (0.03, _store),
}


def examine(rng: np.random.Generator) -> Iterator[Case]:
    """One command on one damaged file."""
    shares = np.array([share for share, _ in KINDS.values()])
    kind = str(rng.choice(list(KINDS), p=shares / shares.sum()))
    attempt = KINDS[kind][1](rng)
    found = answer(attempt.words)
    outcome = "refused" if found.status == 2 else "accepted" if found.status == 0 else "neither"
    words = verdict(found).replace(str(material.folder()), "…")
    yield Case({**attempt.strata, "answer": outcome}, words)


def warm_up() -> None:
    """Make the material and load what commands load, without a limit: an import that is cut short would spoil every case."""
    source, run = material.run()
    store = material.store()[1]
    whole, out = _place("pair.safetensors"), str(_place("out"))
    whole.write_bytes(material.safetensors())
    for words in (
        ("audit", str(whole)),
        ("train", str(source), "--out", str(material.copied(run, "run-copy")), "--resume"),
        ("validate", "report", str(material.copied(store, "store-copy"))),
        ("validate", "quick", "--out", out, "--workers", "0"),
        *(("figures", "--only", figure, "--format", "json", "--out", out) for figure in _TABLES),
    ):
        found = answer(words, contextlib.nullcontext)
        if found.raised:
            raise RuntimeError(f"a whole file is not accepted: kd2m {' '.join(words)}: {found.raised}")


SUITE = Suite(
    name="files",
    claim=(
        f"Whatever is in a file, a command answers within {SECONDS:g} s of CPU and {MEMORY / 2**30:g} GiB, and does not hang: "
        "status 0 if it can use the file, else one line and status 2; never a traceback."
    ),
    oracle="The exit status, both streams, a clock and a limit on the memory of the process, around the real command line.",
    case="one command on one damaged file",
    blocks=120,
    items=100,
    seconds=900.0,
    memory=4 * MEMORY,
    modules=tuple(f"kd2m_theory.validation.evidence.{name}" for name in ("files", "file_material", "file_mutations")),
    examine=examine,
    warm_up=warm_up,
)
