"""What a study file names: optimizers and workloads of ours by name, anybody's by import path ("package.module:name").

Modules are looked for where Python finds them, and in the current folder last.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces import nearest_name
from study.black_boxes import BlackBox
from study.black_boxes.child import further_arguments
from study.black_boxes.command import find_program, search_path
from study.optimizers import OPTIMIZERS, Rule
from study.spec import BlackBoxSpec
from study.training.unloaded import unloaded_parameters, unloaded_rule
from study.workloads import WORKLOADS

if TYPE_CHECKING:
    from study.training.torch_class import Kind
    from study.workloads import Workload

PLACE = ("data", "subset", "inception")
"""Arguments of our workloads that say where data are. What they are is in the data's hash."""


def optimizer_named(name: str, *, allow_imports: bool = True) -> Kind:
    """A rule, or any other torch optimizer.

    Raises ValueError when there is none of that name, or what the path leads to is neither.
    """
    if ":" not in name:
        return OPTIMIZERS[known("optimizer", name, OPTIMIZERS)].rule
    found = imported(name, allow=allow_imports)
    if isinstance(found, Rule):
        return found
    import torch

    from study.optimizers import RuleOptimizer
    from study.training.torch_class import TorchClass

    if isinstance(found, type) and issubclass(found, RuleOptimizer) and "rule" in vars(found):
        return found.rule  # a subclass of such a class may do something else, and is run as it is
    if isinstance(found, type) and issubclass(found, torch.optim.Optimizer) and found is not RuleOptimizer:
        return TorchClass(found)
    raise ValueError(f"{name} is no optimizer: give the path of a torch.optim.Optimizer class or a Rule")


def optimizer_unloaded(name: str) -> Rule | None:
    """A rule of ours that checks settings, and cannot train, without importing torch; None for an import path.

    Raises ValueError when there is none of that name.
    """
    return None if ":" in name else unloaded_rule(known("optimizer", name, OPTIMIZERS))


def workload_named(name: str, settings: str = "{}", *, allow_imports: bool = True) -> Workload:
    """A workload: what the factory of that name makes of `settings` (JSON), or an object that is one already.

    Raises ValueError, one line, when there is none of that name, what the path leads to is none, or the factory
    refuses.
    """
    if ":" in name:
        imported(name, allow=allow_imports)
    else:
        check_workload_settings(name, settings, allow_imports=allow_imports)
    return _made(name, settings)


def check_workload_settings(name: str, settings: str, *, allow_imports: bool = True) -> None:
    """Raise ValueError when there is no workload of ours of that name, or it does not take these settings (JSON).

    Needs no torch; what the factory itself refuses is told when it is called.
    """
    known("workload", name, WORKLOADS)
    given = json.loads(settings)
    check_arguments(name, unloaded_parameters(name), given)
    data, inception = given.get("data"), given.get("inception")
    if allow_imports:
        return
    if isinstance(data, str) and (os.sep in data or data == os.pardir):
        raise ValueError(
            f"data = {data[:100]!r} is a folder: these are allowed by tunability serve --allow-imports"
        )
    if inception is not None:
        raise ValueError(
            f"inception = {str(inception)[:100]!r} is a program: these are allowed by tunability serve --allow-imports"
        )


def black_box(spec: BlackBoxSpec, *, allow_imports: bool = True) -> BlackBox:
    """A black box whose function, or program, and sources are there. Raises ValueError, one line, when they are not."""
    sources = {}
    if spec.function is not None:
        found = imported(spec.function, allow=allow_imports)
        if not callable(found):
            raise ValueError(f"{spec.function} is no function: give the path of one")
        try:
            further_arguments(found)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{spec.function} cannot be called ({error}): define it as train(hyperparameters, optimizer, seed)"
            ) from None
        sources[spec.function] = source_sha256(spec.function)
    elif not allow_imports:
        raise ValueError("commands are allowed by tunability serve --allow-imports")
    else:
        check_command(spec)
    for path in spec.sources:
        try:
            sources[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError as error:
            raise ValueError(
                f"sources: {path} cannot be read ({error.strerror}): give files from {Path.cwd()}"
            ) from None
    return BlackBox(spec, sources)


def check_command(spec: BlackBoxSpec) -> None:
    """Raise ValueError unless a command's program and folder are there."""
    if spec.folder is not None and not Path(spec.folder).is_dir():
        raise ValueError(f"folder = {spec.folder!r} is no folder: give one from {Path.cwd()}")
    program = spec.words[0]
    if "{" not in program and not find_program(
        program, search_path({**os.environ, **spec.environment}), Path.cwd()
    ):
        raise ValueError(f"the command {program!r} is not found: give a program on PATH, or its path")


@functools.cache
def _made(name: str, settings: str) -> Workload:
    from study.workloads import Workload, WorkloadError
    from study.workloads.check import check_workload

    found = imported(name) if ":" in name else WORKLOADS[name]
    given = json.loads(settings)
    if not isinstance(found, Workload) and callable(found):
        check_arguments(name, _parameters(found), given)
        try:
            found, given = found(**given), {}
        except WorkloadError as error:
            raise ValueError(f"{name}: {error}") from error
        except Exception as error:  # whatever a foreign factory raises
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"{name} cannot be made ({reason})") from error
    if isinstance(found, type) or not isinstance(found, Workload):
        missing = [part for part in Workload.__annotations__ if not hasattr(found, part)]
        missing += [part for part in vars(Workload) if part[0] != "_" and not hasattr(found, part)]
        lack = f" (it lacks {', '.join(missing)})" if missing and not isinstance(found, type) else ""
        raise ValueError(
            f"{name} is no workload{lack}: give the path of a function that makes a study.workloads.ModuleWorkload, "
            "or of an object as study/workloads/workload.py says"
        )
    if given:
        raise ValueError(
            f"{name} is a workload already, and takes no {', '.join(given)}: name a function that makes one"
        )
    if ":" in name:
        try:
            check_workload(found)
        except WorkloadError as error:
            raise ValueError(f"{name}: {error}") from error
        except Exception as error:  # whatever foreign functions raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"{name} cannot take a step ({reason})") from error
    return found


def _parameters(factory: Callable[..., Any]) -> Collection[inspect.Parameter]:
    """What a factory takes; anything, of a callable that does not tell: calling it will."""
    try:
        return inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return [inspect.Parameter("given", inspect.Parameter.VAR_KEYWORD)]


def check_arguments(name: str, parameters: Collection[inspect.Parameter], given: Mapping[str, Any]) -> None:
    """Raise ValueError when a factory lacks an argument, or takes none of a name."""
    takes = [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    anything = any(each.kind is each.VAR_KEYWORD for each in parameters)
    unknown = [key for key in given if key not in takes and not anything]
    if unknown:
        own = ("steps", "schedule", "weight_decay", "clip_norm")
        raise ValueError(
            f"unknown key {unknown[0]!r}{nearest_name(unknown[0], [*own, *takes])}: allowed are {', '.join(own)}"
            + (f", and of {name} {', '.join(takes)}" if takes else "")
        )
    lacking = [each.name for each in parameters if each.name in takes and each.default is each.empty]
    if lacking := [each for each in lacking if each not in given]:
        raise ValueError(
            f"{name} needs {', '.join(lacking)}: give it in the study file, [workload] {lacking[0]} = ..."
        )


def complete_arguments(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a workload's factory, as JSON types or as texts: those given, and its defaults.

    Without the places of our own workloads' data, which may be moved.
    """
    from study.training.torch_class import as_json
    from study.workloads import Workload

    found = imported(name) if ":" in name else WORKLOADS[name]
    defaults = {}
    if not isinstance(found, Workload) and callable(found):
        defaults = {each.name: each.default for each in _parameters(found) if each.default is not each.empty}
    places = () if ":" in name else PLACE
    return {key: as_json(value) for key, value in {**defaults, **given}.items() if key not in places}


def known(kind: str, name: object, names: Mapping[str, object]) -> str:
    """`name`, if it is one of `names`; ValueError with the nearest otherwise."""
    if not isinstance(name, str) or name not in names:
        hint = nearest_name(str(name), names)
        raise ValueError(
            f"unknown {kind} {name!r}{hint}: known are {', '.join(names)}, "
            "or an import path such as package.module:name"
        )
    return name


def imported(path: str, *, allow: bool = True) -> Any:
    """What `package.module:name` leads to. Raises ValueError, one line, when it cannot be imported or may not."""
    if not allow:
        raise ValueError(
            f"{path[:100]!r} is no name: import paths are allowed by tunability serve --allow-imports"
        )
    return _imported(path)


@functools.cache
def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # whatever a foreign module raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{path} cannot be imported ({reason})") from error


def source_sha256(path: str) -> str:
    """SHA-256 of the file in which what an import path leads to is defined; of nothing when there is none."""
    found = imported(path)
    for defined in (getattr(found, "update", None), found, type(found)):
        try:
            file = inspect.getsourcefile(defined)  # type: ignore[arg-type]
        except TypeError:
            continue
        there = file is not None and Path(file).is_file()  # Python's own may be inside of it
        return hashlib.sha256(Path(file).read_bytes() if file and there else b"").hexdigest()
    return hashlib.sha256(b"").hexdigest()
