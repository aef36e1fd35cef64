"""How `sampan why` shows a report: what plugins say about which nodes, then the least that would have to change."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator

from sampan.cli.operations import FailedAttempt, OperationError, PlacementReport, PlacementRow

_NAMED = 3


def pod_name(target: str) -> str:
    """The name in `pod/NAME`. Raises OperationError."""
    kind, _, name = target.partition("/")
    if kind not in ("pod", "pods", "po") or not name:
        raise OperationError(f'"{target}" cannot be explained', "pods can: sampan why pod/NAME")
    return name


def lines(report: PlacementReport, width: int = 0) -> Iterator[str]:
    """The report for a terminal of that many columns (0: this one)."""
    width = width or shutil.get_terminal_size((120, 40)).columns
    yield report.headline
    if report.untold:
        yield from _wrapped("only this moment is shown: ", report.untold, width)
    if report.attempt is not None:
        yield from _attempt(report.attempt, width)
    elif report.last_attempt and not report.last_attempt.startswith("Successfully"):
        yield from _wrapped("the scheduler said: ", report.last_attempt, width)
    if report.rows:
        yield ""
        if report.attempt is not None:
            yield "now, asking every plugin:"
        yield from _table(report.rows, width)
    if report.smallest_change:
        yield ""
        tried = "tried on paper: the pod then fits" if report.confirmed else "not tried"
        yield f"smallest change, on {report.node} ({tried}):"
        for change in report.smallest_change:
            yield from _wrapped("  - ", change, width)


def _attempt(attempt: FailedAttempt, width: int) -> Iterator[str]:
    yield from _wrapped(f"attempt {attempt.number} at {attempt.at}: ", attempt.message, width)
    if attempt.nominated_node:
        yield f"room is being made for it on {attempt.nominated_node}"
    if attempt.rows:
        first, second = (max(map(len, column)) for column in zip(
            ("NODE", "REFUSED BY"), *((_nodes(row.nodes), row.plugin) for row in attempt.rows), strict=True
        ))
        yield ""
        yield f"{'NODE':<{first}}  {'REFUSED BY':<{second}}  REASON"
        for row in attempt.rows:
            yield from _wrapped(f"{_nodes(row.nodes):<{first}}  {row.plugin:<{second}}  ", row.reason, width)


def _table(rows: tuple[PlacementRow, ...], width: int) -> Iterator[str]:
    cells = [(_nodes(row.nodes), row.plugin, row.reason, "; ".join(row.helps) or "-") for row in rows]
    cells = [("" if at and cells[at - 1][0] == cell[0] and rows[at - 1].nodes == rows[at].nodes else cell[0], *cell[1:])
             for at, cell in enumerate(cells)]
    head = ("NODE", "PLUGIN", "REASON", "WHAT WOULD HELP")
    first, second = (max(len(row[column]) for row in (head, *cells)) for column in (0, 1))
    rest = max(width - first - second - 6, 40)
    third = min(max(len(row[2]) for row in (head, *cells)), rest // 2)
    for row in (head, *cells):
        reason, helps = textwrap.wrap(row[2], third) or [""], textwrap.wrap(row[3], max(rest - third, 20)) or [""]
        for line in range(max(len(reason), len(helps))):
            columns = (row[0], row[1]) if line == 0 else ("", "")
            third_cell = reason[line] if line < len(reason) else ""
            last = helps[line] if line < len(helps) else ""
            yield f"{columns[0]:<{first}}  {columns[1]:<{second}}  {third_cell:<{third}}  {last}".rstrip()


def _nodes(names: tuple[str, ...]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} more"


def _wrapped(lead: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=" " * len(lead))
