"""The version of the numbers that this package computes, and a panel of them by which a change is noticed.

`NUMBERS` is increased whenever a number moves that another run, store or table may hold. Nobody has to remember that: the
tests recompute the panel and compare it with the committed one, and a store or a run that is continued compares its own panel
with the one that the present code computes, so that an edited constant is refused even where nobody has increased anything.

`python -m kd2m_theory.validation.numbers FILE` compares a committed panel with the code; `--write` replaces the file, and
refuses to as long as numbers have moved and `NUMBERS` has not.
"""

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kd2m_theory.errors import InputError
from kd2m_theory.files import read_json, write_atomically
from kd2m_theory.validation.training.configuration import digest
from kd2m_theory.version import __version__

# Who asks for `NUMBERS` alone, such as every process that computes evidence, need not wait for torch.
if TYPE_CHECKING:
    from kd2m_theory.validation.panel import Panel

NUMBERS = 8

# How far a number may differ between two machines, by group. On one machine with the same libraries nothing may. Kernels of
# another instruction set moved them by 3e-14 and 1.5e-5 at most, logarithms by 0.01, and widths by 3 %; the oldest admitted
# libraries moved one double, which goes through a singular value decomposition, by 1.2e-11.
_RELATIVE = {"double": 1e-10, "single": 1e-4, "log": 0.0}
_ABSOLUTE = {"double": 1e-12, "single": 1e-5, "log": 1.0}
# Allowances for rounding and widths of enclosures: their size matters, not their digits.
_WIDTH_FACTOR = 2.0
_LEAST_WIDTH = 1e-15


def record() -> bytes:
    """The version and the panel of the present code, as a file for `check`."""
    from kd2m_theory.validation.panel import panel

    numbers = panel()  # loads what the environment is about
    held = {
        "numbers": NUMBERS,
        "version": __version__,
        "environment": environment_of_numbers(),
        "panel": to_json(numbers),
    }
    held["digest"] = digest(held)
    return (json.dumps(held, indent=1, ensure_ascii=False) + "\n").encode()


def check(held: bytes, what: str) -> None:
    """Refuse to continue where numbers of two versions would mix.

    Args:
        held: what `record` made when the numbers that are there were computed.
        what: holds it, for the message, such as the path of a folder.

    Raises:
        InputError: it is of another version, or the present code computes other numbers than that code did, or it is not a
            record.
    """
    numbers, version, differences = _compared(held, what)
    if numbers != NUMBERS:
        raise InputError(
            f"{what} has numbers of version {numbers}, by kd2m-theory {version}; this is {__version__}, which computes "
            f"version {NUMBERS}: numbers of two versions do not mix; name another folder, or install that release"
        )
    if differences:
        raise InputError(
            f"{what} has numbers that this code does not compute: {differences[0]}, and {len(differences) - 1} more moved, "
            f"though both are version {NUMBERS}; numbers of two versions do not mix: name another folder, or undo the change"
        )


def moved(held: "Panel", here: "Panel", *, same_environment: bool) -> list[str]:
    """What a held panel says otherwise than this one, a few words each; nothing if numbers of both may mix.

    A name that only `here` has is a new number and no difference; one that only `held` has is.

    Args:
        held: of a store, a run or a file.
        here: of the present code.
        same_environment: whether both were computed with the same libraries on the same kind of processor, so that they
            have to be equal to the last bit.
    """
    found = []
    for group, numbers in held.items():
        now = here.get(group, {})
        for name, value in numbers.items():
            if name not in now:
                found.append(f"{name} is no longer computed")
            elif not (_same(value, now[name]) or (not same_environment and _close(group, value, now[name]))):
                found.append(f"{name} was {value:.17g} and is {now[name]:.17g}")
    return found


def environment_of_numbers() -> str:
    """What decides the last digits beside the code: libraries, and the kind of processor that they see."""
    import numpy as np
    import ot
    import scipy
    import torch
    from threadpoolctl import threadpool_info

    # Libraries without linear algebra come and go with what else is loaded.
    kernels = sorted({f"{each['internal_api']} {each['architecture']}" for each in threadpool_info() if "architecture" in each})
    versions = f"torch {torch.__version__}, numpy {np.__version__}, scipy {scipy.__version__}, POT {ot.__version__}"
    # oneDNN chooses kernels by the processor, and does not say which.
    chosen = [f"{name}={os.environ[name]}" for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA") if name in os.environ]
    return ", ".join([versions, torch.backends.cpu.get_cpu_capability(), *kernels, *chosen, _processor()])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def to_json(numbers: "Panel") -> dict[str, dict[str, float | str]]:
    """As plain data that JSON holds exactly: what is not finite is written as text."""
    return {
        group: {name: value if math.isfinite(value) else repr(value) for name, value in each.items()}
        for group, each in numbers.items()
    }


def from_json(table: Mapping[str, Mapping[str, float | str]]) -> "Panel":
    """What `to_json` made."""
    return {group: {name: float(value) for name, value in each.items()} for group, each in table.items()}


def _same(first: float, second: float) -> bool:
    return first == second or (math.isnan(first) and math.isnan(second))


def _close(group: str, first: float, second: float) -> bool:
    if not (math.isfinite(first) and math.isfinite(second)):
        return False
    if group == "width":
        low, high = sorted((max(abs(first), _LEAST_WIDTH), max(abs(second), _LEAST_WIDTH)))
        return high <= _WIDTH_FACTOR * low
    return math.isclose(first, second, rel_tol=_RELATIVE[group], abs_tol=_ABSOLUTE[group])


def main(arguments: list[str] | None = None) -> int:
    """Compare or write; the exit status is 0 if the file and the code agree, 1 if not, 2 if there is nothing to compare."""
    parser = argparse.ArgumentParser(prog="numbers", description="A committed panel of numbers against what the code computes.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--write", action="store_true", help="replace the file")
    chosen = parser.parse_args(arguments)
    file: Path = chosen.file
    try:
        numbers, _, differences = (
            (NUMBERS - 1, "", []) if chosen.write and not file.exists() else _compared(file.read_bytes(), str(file))
        )
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    unsaid = bool(differences) and numbers == NUMBERS
    if chosen.write and not unsaid:
        write_atomically(file, record())
        return 0
    if unsaid:
        print(f"{len(differences)} numbers have moved since NUMBERS = {numbers}:", *differences[:20], sep="\n", file=sys.stderr)
        print("if they should have, increase NUMBERS, say so in CHANGELOG.md, and run this with --write", file=sys.stderr)
    elif numbers != NUMBERS:
        print(f"{file} is of NUMBERS = {numbers}, the code of {NUMBERS}: run this with --write", file=sys.stderr)
    return int(unsaid or numbers != NUMBERS)


def _compared(held: bytes, what: str) -> tuple[int, str, list[str]]:
    """Versions of a record, and what the present code computes otherwise.

    Raises:
        InputError: it is not a record.
    """
    complaint = f"{what} has no readable record of its numbers"
    table = read_json(held, complaint)
    said = table.pop("digest", None)
    if said != digest(table) or type(table.get("numbers")) is not int:
        raise InputError(f"{complaint} (it was changed after it was written)")
    numbers, version, environment = table["numbers"], str(table["version"]), table["environment"]
    panel_held = from_json(table["panel"])
    differences = []
    if numbers == NUMBERS:
        from kd2m_theory.validation.panel import panel

        here = panel()
        differences = moved(panel_held, here, same_environment=environment == environment_of_numbers())
    return numbers, version, differences


if __name__ == "__main__":
    raise SystemExit(main())
