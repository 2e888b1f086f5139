"""Usage as a table for spreadsheets."""

from collections.abc import Iterable, Sequence
from csv import DictWriter
from io import StringIO

from ai_tasks import usage
from ai_tasks.usage import Line

CSV = "text/csv; charset=utf-8"
BYTE_ORDER_MARK = "\ufeff"
"""By which spreadsheets know UTF-8."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to spreadsheets."""


def csv(groups: Sequence[str], lines: Iterable[Line]) -> str:
    """Return the lines below a head, with a byte order mark; spreadsheets take none of the cells for a formula."""
    text = StringIO()
    writer = DictWriter(text, [*groups, *(name for name in Line.__slots__ if name != "group")])
    writer.writeheader()
    for line in lines:
        writer.writerow({name: safe(str(value)) for name, value in usage.shape(line).items()})
    return BYTE_ORDER_MARK + text.getvalue()


def safe(cell: str) -> str:
    """Return the cell so that no spreadsheet takes it for a formula; numbers stay as they are."""
    is_number = cell.removeprefix("-").replace(".", "", 1).isdigit()
    return f"'{cell}" if cell.startswith(FORMULA) and not is_number else cell
