"""Programs: tensor functions traced to a flat graph and compiled once; and the process that runs them.

Hyperparameters are tensors, so no block compiles again. The compiler's own cache on disk serves further workers and
runs.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch._inductor import standalone_compile
from torch._inductor.exc import InductorError
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

MALLOC_KEEPS = {-1: 2**30, -3: 2**25}
"""glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD in bytes: memory on top that is kept, size taken from it."""
COMPILE_ERRORS = (TorchDynamoException, InductorError, OSError)
"""No C++ compiler or an old one, an operation that it cannot do, a cache folder that cannot be written."""


def prepare_process() -> None:
    """Set up a process that does nothing but train: one thread, no denormal numbers, freed memory kept.

    A step returns new tensors of a megabyte each; given back to the system and asked for again, they cost a fifth of
    the time in page faults. Momentum of dead units decays into denormal numbers, which are several times slower.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with contextlib.suppress(AttributeError, OSError):  # glibc only
        libc = ctypes.CDLL(None)
        for parameter, size in MALLOC_KEEPS.items():
            libc.mallopt(parameter, size)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """A core a block: with more threads a matrix product is cut otherwise for some lanes, and last bits differ."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Programs:
    """The programs of a process. With `compile=False` they run operation by operation: slower, but at once."""

    def __init__(self, *, compile: bool = True) -> None:
        self.warning: str | None = None
        self._compile = compile
        self._kept: dict[tuple[object, ...], Callable[..., Any]] = {}

    def get(self, key: tuple[object, ...], function: Callable[..., Any], *example: Any) -> Callable[..., Any]:
        """`function` traced on `example`, compiled, and kept under `key` for the next block."""
        if key not in self._kept:
            self._kept[key] = self.build(function, example)
        return self._kept[key]

    def build(self, function: Callable[..., Any], example: Any) -> Callable[..., Any]:
        leaves, arguments = pytree.tree_flatten(example)
        result: list[pytree.TreeSpec] = []

        def flat(*tensors: Tensor) -> list[Tensor]:
            out, shape = pytree.tree_flatten(function(*pytree.tree_unflatten(tensors, arguments)))
            result.append(shape)
            return out

        graph = make_fx(flat)(*leaves)
        run: Callable[..., Any] = graph
        if self._compile:
            try:
                # the graph is flat already: torch.compile would only add its guards, 0.2 ms a step
                compiled = standalone_compile(graph, leaves, dynamic_shapes="from_example_inputs")
                compiled(*leaves)  # so that failing is noticed here
                run = compiled
            except COMPILE_ERRORS as error:
                reason = first_line(error)
                remedy = ": install a C++ compiler, g++" if "InvalidCxxCompiler" in reason else ""
                self.warning = f"training runs uncompiled, several times slower ({reason}){remedy}"
        return lambda *given: pytree.tree_unflatten(run(*pytree.tree_leaves(given)), result[0])


def first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
