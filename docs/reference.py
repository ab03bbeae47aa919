"""Writes the reference pages from the code, when `make docs` builds the site."""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import mkdocs_gen_files
import typer
from typer.main import get_command

from search_spaces.symbols import SYMBOLS
from study import catalog
from study.cli import app
from study.optimizers import OPTIMIZERS
from study.service.app import create_app
from study.service.settings import Settings
from study.spec import StudySpec
from tuners import TUNERS, tuner_class


def write(name: str, *parts: str) -> None:
    with mkdocs_gen_files.open(f"reference/{name}.md", "w") as page:
        page.write("\n\n".join(parts) + "\n")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell(text) for text in line) + " |" for line in lines)


def cell(text: object) -> str:
    return " ".join(str(text).replace("|", "\\|").split())


def type_of(schema: Mapping[str, Any]) -> str:
    """A JSON schema's type in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(type_of(each) for each in schema[several]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def keys(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"`{name}`",
            type_of(each),
            "required" if name in required else f"`{json.dumps(each.get('default'))}`",
            each.get("description", ""),
        )
        for name, each in schema.get("properties", {}).items()
    ]
    return table(("key", "type", "default", ""), rows)


def study_file() -> None:
    schema = StudySpec.model_json_schema()
    parts = ["# Keys of the study file", "Generated from the models that check it.", keys(schema)]
    for name, inner in sorted(schema["$defs"].items()):
        parts += [f"## {name}", inner.get("description", "").split("\n\n")[0]]
        parts.append(keys(inner) if inner.get("properties") else type_of(inner))
    write("study-file", *parts)


def commands() -> None:
    parts = ["# Command line", "Generated from the program's own help."]
    for path, command in leaves(get_command(app)):
        context = typer.Context(command, info_name=" ".join(("tunability", *path)))
        rows = []
        for parameter in command.params:
            record = parameter.get_help_record(context)
            if record is None:  # an argument
                record = (parameter.make_metavar(context), getattr(parameter, "help", "") or "")
            rows.append((f"`{record[0]}`", record[1]))
        usage = command.get_usage(context).removeprefix("Usage: ").strip()
        parts += [f"## tunability {' '.join(path)}", f"`{usage}`", inspect.cleandoc(command.help or "")]
        parts.append(table(("", ""), rows))
    write("commands", *parts)


def leaves(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", {})
    return [leaf for name, child in inner.items() for leaf in leaves(child, (*path, name))] or [
        (path, command)
    ]


def http_api() -> None:
    document = create_app(Settings("sqlite:///none.db", token="t" * 16)).openapi()
    parts = ["# HTTP API", "Generated from the service's OpenAPI document, which `/docs` shows and tries."]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += [f"## {method.upper()} {path}", operation.get("description", "")]
            rows = [
                (f"`{each['name']}`", each["in"], type_of(each["schema"]), each.get("description", ""))
                for each in operation.get("parameters", ())
            ]
            if rows:
                parts.append(table(("parameter", "in", "type", ""), rows))
            answers = [(code, answer["description"]) for code, answer in operation["responses"].items()]
            parts.append(table(("status", "answer"), answers))
    write("http-api", *parts)


def optimizers() -> None:
    parts = [
        "# Optimizers",
        "Each is one file; what it does, and where defaults come from, is written there.",
    ]
    for name, optimizer in OPTIMIZERS.items():
        parts += [f"## {name}", text_of(inspect.getmodule(optimizer.rule.update))]
        rows = [
            (
                f"`{own}`",
                ", ".join(letter for letter, meant in SYMBOLS.items() if meant == own),
                str(argument),
                argument.source,
            )
            for own, argument in optimizer.rule.arguments.items()
        ]
        parts.append(table(("argument", "also", "default", "source of the default"), rows))
    write("optimizers", *parts)


def tuners() -> None:
    parts = ["# Tuners"]
    for name in TUNERS:
        parts += [f"## {name}", text_of(inspect.getmodule(tuner_class(name)))]
    write("tuners", *parts)


def text_of(module: Any) -> str:
    """A module's docstring; what is indented is shown as it is."""
    return inspect.getdoc(module) or ""


def workloads() -> None:
    write("workloads", "# Workloads", table(*catalog.workloads()), "# Spaces", table(*catalog.spaces()))


study_file()
commands()
http_api()
optimizers()
tuners()
workloads()
