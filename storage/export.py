"""Tables written as files, a piece at a time: never more than one piece is in memory."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from storage.errors import StoreError

if TYPE_CHECKING:
    from pandas import DataFrame

Format = Literal["table", "csv", "json", "parquet"]
Pieces = Callable[[], Iterator["DataFrame"]]
"""Reads a table from its beginning: one or more pieces with the same columns."""


def format_of(out: Path | None) -> Format:
    """How a file is written, by its name; to standard output a table.

    Raises StoreError when the name says nothing.
    """
    known: dict[str, Format] = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".txt": "table"}
    if out is None:
        return "table"
    if out.suffix.lower() not in known:
        raise StoreError(
            f"{out.name!r} does not say how to write it: end it in {', '.join(known)}, or give --format"
        )
    return known[out.suffix.lower()]


def write(frame: "DataFrame", format: Format, out: Path | None) -> None:
    """Write a table to a file, or to standard output if `out` is None. As `write_pieces`, of one piece."""
    write_pieces(lambda: iter([frame]), format, out)


def write_pieces(pieces: Pieces, format: Format, out: Path | None) -> None:
    """Write a table to a file, or to standard output if `out` is None, with one piece of it in memory.

    In csv, json (a list of objects) and parquet, numbers read back exactly; `table` is for people, rounds to six
    digits, and reads the pieces twice, for the widths of its columns. Missing values are empty in csv, null in json and
    parquet, ``-`` in a table.

    Raises:
        StoreError: the format is unknown, the file cannot be written, or parquet would go to a terminal.
    """
    if format not in get_args(Format):
        raise StoreError(f"unknown format {format!r}: use one of {', '.join(get_args(Format))}")
    if out is None and format == "parquet" and sys.stdout.isatty():
        raise StoreError("parquet is not for a terminal: name a file, or redirect the output")
    content = ENCODINGS[format](pieces)
    first = next(content, b"")  # what cannot be read is said before a file is made
    if out is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(first)
        for each in content:
            sys.stdout.buffer.write(each)
        sys.stdout.buffer.flush()
        return
    try:
        with out.open("wb") as file:
            file.write(first)
            for each in content:
                file.write(each)
    except OSError as error:
        raise StoreError(
            f"cannot write {out} ({error.strerror}): give a file in a folder that exists and may be written"
        ) from error


def as_csv(pieces: Pieces) -> Iterator[bytes]:
    """A CSV file, its header first."""
    header = True
    for frame in pieces():
        yield frame.to_csv(index=False, lineterminator="\n", header=header).encode()
        header = False


def as_json(pieces: Pieces) -> Iterator[bytes]:
    """A list of objects, a line each."""
    opened = False
    for frame in pieces():
        # DataFrame.to_json keeps 15 digits at most.
        objects = frame.astype(object).where(frame.notna(), None).to_dict("records")
        if objects:
            lines = ",\n".join(json.dumps(entry, default=str) for entry in objects)
            yield f"{',' if opened else '['}\n{lines}".encode()
            opened = True
    yield b"\n]\n" if opened else b"[]\n"


def as_parquet(pieces: Pieces) -> Iterator[bytes]:
    """A Parquet file, a row group a piece."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    class Sink(io.BytesIO):
        """Hands out what was written; Parquet never goes back."""

        done = 0

        def drain(self) -> bytes:
            written = self.getvalue()
            self.done += len(written)
            self.seek(0)
            self.truncate()
            return written

        def tell(self) -> int:
            return self.done + super().tell()

    sink, writer = Sink(), None
    for frame in pieces():
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if writer is None:
            writer = pq.ParquetWriter(pa.PythonFile(sink, "w"), table.schema)
        writer.write_table(table)
        yield sink.drain()
    if writer is not None:
        writer.close()
        yield sink.drain()


def as_table(pieces: Pieces) -> Iterator[bytes]:
    """Columns of one width, numbers rounded; a cell that is wider than any was at first sticks out."""
    widths: dict[str, int] = {}
    for frame in pieces():
        for name in frame:
            width = max(map(len, _texts(frame[name])), default=0)
            widths[str(name)] = max(widths.get(str(name), len(str(name))), width)
    yield _line(list(widths), widths)
    for frame in pieces():
        if len(frame):
            columns = [_texts(frame[name]) for name in frame]
            yield b"".join(_line(cells, widths) for cells in zip(*columns, strict=True))


def _texts(column: Any) -> list[str]:
    missing = column.isna()
    return [
        "-" if gone else f"{value:.6g}" if isinstance(value, float) else str(value)
        for value, gone in zip(column, missing, strict=True)
    ]


def _line(cells: Any, widths: dict[str, int]) -> bytes:
    return (
        " ".join(cell.rjust(width) for cell, width in zip(cells, widths.values(), strict=True)) + "\n"
    ).encode()


ENCODINGS: dict[str, Callable[[Pieces], Iterator[bytes]]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json,
    "parquet": as_parquet,
}
