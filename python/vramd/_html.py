"""What a notebook shows of models, tensors, allocations and a client: small tables. Names come from files and from other people, so
every word is escaped; there is no script, and no style that reaches beyond its own element."""
from __future__ import annotations

from html import escape
from typing import Any, Iterable, Mapping, Sequence

#: A notebook is no place for thousands of rows: so many are shown, and how many are left is told.
ROWS_MAX = 50
_RIGHT = "text-align:right"
_LEFT = "text-align:left"


def size_text(count: int) -> str:
    """1536 as "1.5 KiB"."""
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A caption, a head and rows; texts to the left, and what is an `int` to the right, as a size."""
    parts = [f'<table><caption style="{_LEFT}">{escape(title)}</caption><thead><tr>']
    parts += [f'<th scope="col" style="{_LEFT}">{escape(head)}</th>' for head in heads]
    parts.append("</tr></thead><tbody>")
    left = 0
    for number, row in enumerate(rows):
        if number >= ROWS_MAX:
            left += 1
            continue
        cells = (f'<td style="{_RIGHT}">{size_text(cell)}</td>' if isinstance(cell, int) else f'<td style="{_LEFT}">{escape(str(cell))}</td>' for cell in row)
        parts.append(f"<tr>{''.join(cells)}</tr>")
    if left:
        parts.append(f'<tr><td colspan="{len(heads)}">… and {left} more</td></tr>')
    return "".join(parts) + "</tbody></table>"


def bar(label: str, part: int, whole: int) -> str:
    """How much of the whole is taken, as a meter with its figures in words."""
    words = f"{label}: {size_text(part)} of {size_text(whole)}"
    return f'<div><meter min="0" max="{max(whole, 1)}" value="{min(part, whole)}" title="{escape(words)}"></meter> {escape(words)}</div>'


class Records(list[dict[str, Any]]):
    """Records as the daemon tells them: a list, which a notebook shows as a table of what matters."""

    title = "records"
    columns: Mapping[str, str] = {}

    def _repr_html_(self) -> str:
        rows = ([record.get(key, "") for key in self.columns.values()] for record in self)
        return table(f"{self.title}: {len(self)}", list(self.columns), rows)


class Models(Records):
    """Records of models."""

    title = "models"
    columns = {"name": "name", "state": "state", "format": "format", "type": "type", "size": "sizeBytes"}


class Allocations(Records):
    """Records of allocations."""

    title = "allocations"
    columns = {"id": "id", "device": "deviceId", "size": "sizeBytes", "status": "status", "type": "allocationType", "owner": "owner", "purpose": "purpose"}
