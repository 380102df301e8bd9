"""Settings of the whole process that a computation needs otherwise: left unchanged, from however many threads at once."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from types import TracebackType
from typing import Any


class Shared:
    """A context that any number of threads may be within at once: the first enters it, the last leaves it.

    A context manager that stores a global setting, and stores it back, is no such context: of two threads that overlap, the
    second stores what the first has set, and sets that for good.

    Args:
        make: the context manager; called by the first thread.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[object]]) -> None:
        self._make, self._lock, self._within = make, Lock(), 0
        self._entered: AbstractContextManager[object] = nullcontext()

    def __enter__(self) -> None:
        """Enter, if nobody is within."""
        with self._lock:
            if not self._within:
                self._entered = self._make()
                self._entered.__enter__()
            self._within += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave, if nobody else is within."""
        with self._lock:
            self._within -= 1
            if not self._within:
                self._entered.__exit__(None, None, None)


@contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _limited(api: str) -> AbstractContextManager[object]:
    if find_spec("threadpoolctl") is None:  # comes with scikit-learn; without it the same numbers take longer
        return nullcontext()
    limit: AbstractContextManager[object] = import_module("threadpoolctl").threadpool_limits(1, api)
    return limit


@contextmanager
def _single_precision() -> Iterator[None]:
    import torch  # deferred: most audits need none

    # One setting for each library of products since torch 2.9, one for all before.
    libraries: list[Any] = [getattr(torch.backends, name, None) for name in ("mkldnn", "cuda")]
    every: list[Any] = [getattr(library, "matmul", None) for library in libraries]
    owners = [owner for owner in every if hasattr(owner, "fp32_precision")]
    if owners:
        before = [owner.fp32_precision for owner in owners]
        for owner in owners:
            owner.fp32_precision = "ieee"
        try:
            yield
        finally:
            for owner, value in zip(owners, before, strict=True):
                owner.fp32_precision = value
    else:
        whole = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(whole)


# For libraries whose warnings say what the caller checks by itself.
without_warnings = Shared(_no_warnings)
# Linear algebra by one thread. Many small problems: where cores are shared, threads that wait for one another cost a factor of
# 100.
one_blas_thread = Shared(lambda: _limited("blas"))


@contextmanager
def one_thread() -> Iterator[None]:
    """Everything but torch by one thread: sums taken in another order are other numbers."""
    with one_blas_thread, _limited("openmp"):  # OpenMP keeps its setting by thread
        yield


# Products of torch in float32 that are rounded as such, whatever `torch.set_float32_matmul_precision` was told to make training
# quicker: a bound on their error has to know.
products_of_float32 = Shared(_single_precision)
