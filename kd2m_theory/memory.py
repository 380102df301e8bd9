"""How much memory there is."""

import contextlib
import os
from pathlib import Path


def available_memory() -> int | None:
    """Bytes that this process could still be given; None where the system does not say.

    What Linux calls available, and never more than the limits on the address space and on the group of processes leave.
    """
    found = [each for each in (_available(), _address_space(), _of_the_group()) if each is not None]
    return min(found, default=None)


def _available() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):  # not every system has either name
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _address_space() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def _of_the_group() -> int | None:
    """What the control group of the process leaves, in a container."""
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        words = (group / "memory.max").read_text(encoding="ascii").strip()
        if words != "max":
            return max(0, int(words) - int((group / "memory.current").read_text(encoding="ascii")))
    return None
