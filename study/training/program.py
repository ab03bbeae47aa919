"""Programs: tensor functions traced to a flat graph and compiled once; and the process that runs them.

Hyperparameters are tensors, so no block compiles again. The compiler's own cache on disk serves further workers and
runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

MALLOC_KEEPS = {-1: 2**30, -3: 2**25}
"""glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD in bytes: memory on top that is kept, size taken from it."""
SUMS = (torch.ops.aten.sum.dim_IntList, torch.ops.aten.mean.dim)
UNTRACEABLE = (RuntimeError, TypeError, NotImplementedError)
"""What tracing raises where Python looks at a tensor's values."""


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
def prepared_process() -> Iterator[None]:
    """The same for a while, as far as it can be taken back, in a process that does other things, too."""
    threads = torch.get_num_threads()
    prepare_process()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


class Program:
    """A traced function: called with its own arguments, or on their tensors in order, without nesting them."""

    def __init__(self, flat: Callable[..., Sequence[Tensor]], result: Sequence[pytree.TreeSpec]) -> None:
        self.flat = flat
        self._result = result  # the only one, once `flat` was called

    def __call__(self, *given: Any) -> Any:
        tensors = self.flat(*pytree.tree_leaves(given))
        return pytree.tree_unflatten(tensors, self._result[0])


class Programs:
    """The programs of a process, and what else is worked out once. `compile=False` keeps all of them uncompiled."""

    def __init__(self, *, compile: bool = True) -> None:
        self.warning: str | None = None
        self.building = 0.0  # seconds spent on tracing and compiling
        self._compile = compile
        self._kept: dict[tuple[object, ...], Any] = {}

    def once(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """What `make` gives, kept under `key`."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def get(
        self, key: tuple[object, ...], function: Callable[..., Any], *example: Any, compile: bool = True
    ) -> Program:
        """`function` traced on `example`, compiled, and kept under `key` for the next block."""
        started = time.perf_counter()
        program = self.once(key, lambda: self.build(function, example, compile=compile))
        self.building += time.perf_counter() - started
        return cast(Program, program)

    def build(self, function: Callable[..., Any], example: Any, *, compile: bool = True) -> Program:
        """`function` traced on `example` and compiled; what cannot be traced is called as it is."""
        leaves, arguments = pytree.tree_flatten(example)
        result: list[pytree.TreeSpec] = []

        def flat(*tensors: Tensor) -> list[Tensor]:
            out, shape = pytree.tree_flatten(function(*pytree.tree_unflatten(tensors, arguments)))
            result[:] = [shape]
            return out

        try:
            graph = make_fx(flat)(*leaves)
        except UNTRACEABLE as error:
            function(*example)  # raises what has nothing to do with tracing
            self.warning = f"training runs untraced, much slower ({first_line(error)})"
            return Program(flat, result)
        run: Callable[..., Any] = graph
        if self._compile and compile:
            try:
                run = compiled(graph, leaves)
            except CompileError as error:
                remedy = ": install a C++ compiler, g++" if "InvalidCxxCompiler" in str(error) else ""
                self.warning = f"training runs uncompiled, several times slower ({error}){remedy}"
        if run is graph:
            lanes_outermost(graph)
        return Program(run, result)


class CompileError(Exception):
    """No C++ compiler or an old one, an operation that it cannot do, a cache folder that cannot be written."""


def compiled(graph: torch.fx.GraphModule, leaves: list[Any]) -> Callable[..., Any]:
    """The graph compiled, and called once on `leaves`, so that failing is noticed here. Raises CompileError."""
    # only what compiles imports these: they take as long as torch itself
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor import standalone_compile
    from torch._inductor.exc import InductorError

    try:
        # the graph is flat already: torch.compile would only add its guards, 0.2 ms a step
        program = standalone_compile(graph, leaves, dynamic_shapes="from_example_inputs")
        program(*leaves)
    except (TorchDynamoException, InductorError, OSError) as error:
        raise CompileError(first_line(error)) from error
    return program


def lanes_outermost(graph: torch.fx.GraphModule) -> None:
    """Have sums read tensors whose lanes lie one after another: their order of adding depends on what lies between."""
    for node in graph.graph.nodes:
        if node.target in SUMS:
            (source, *_) = node.args
            with graph.graph.inserting_before(node):
                copy = graph.graph.call_function(torch.ops.aten.contiguous.default, (source,))
            node.replace_input_with(source, copy)
    graph.recompile()


def first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
