"""Tables for spreadsheets: UTF-8 with a byte order mark, and no cell that is taken for a formula."""

from collections.abc import Iterable, Mapping, Sequence
from csv import DictWriter
from io import StringIO
from typing import Any

from ai_tasks import usage
from ai_tasks.usage import Line

CSV = "text/csv; charset=utf-8"
BYTE_ORDER_MARK = "\ufeff"
"""By which spreadsheets know UTF-8."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to spreadsheets."""


def csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the rows below a head of their names."""
    text = StringIO()
    writer = DictWriter(text, names)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: safe(str(row[name])) for name in names})
    return BYTE_ORDER_MARK + text.getvalue()


def usage_csv(groups: Sequence[str], lines: Iterable[Line]) -> str:
    """Return the lines of a usage report."""
    return csv([*groups, *(name for name in Line.__slots__ if name != "group")], map(usage.shape, lines))


def safe(cell: str) -> str:
    """Return the cell so that no spreadsheet takes it for a formula; numbers stay as they are."""
    is_number = cell.removeprefix("-").replace(".", "", 1).isdigit()
    return f"'{cell}" if cell.startswith(FORMULA) and not is_number else cell
