"""Money in the database."""

from decimal import ROUND_CEILING, Decimal
from typing import Any

from django.db import models
from django.forms import DecimalField

DECIMAL_PLACES = 10
SCALE = Decimal(10) ** DECIMAL_PLACES
QUANTUM = 1 / SCALE


def to_quantum(amount: Decimal) -> Decimal:
    """Return the amount rounded up to the smallest unit that is stored, 1e-10 USD: never below the provider's bill."""
    return amount.quantize(QUANTUM, rounding=ROUND_CEILING)


def from_quanta(quanta: int) -> Decimal:
    """Return the amount of a stored number."""
    return Decimal(quanta) / SCALE


def plain_usd(amount: Decimal) -> str:
    """Return an amount as a plain decimal string without trailing zeros."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class UsdField(models.BigIntegerField):
    """
    An exact amount in USD: Decimal in Python, a whole number of 1e-10 USD in the database.

    SQLite has no exact decimal type, and `held + amount <= limit` must be exact on both databases.
    Bounds: plus or minus 922 million USD.
    """

    def from_db_value(self, value: int | None, *_: Any) -> Decimal | None:
        """Return the stored number as a Decimal."""
        return None if value is None else from_quanta(value)

    def to_python(self, value: Any) -> Any:
        """Return the value as a Decimal."""
        return value if value is None or isinstance(value, Decimal) else Decimal(str(value))

    def formfield(self, **kwargs: Any) -> Any:
        """Return a form's field for a decimal, not for a whole number."""
        return models.Field.formfield(self, **{"form_class": DecimalField, "decimal_places": DECIMAL_PLACES, **kwargs})

    def get_prep_value(self, value: Any) -> Any:
        """Return the whole number that is stored; expressions pass."""
        if value is None or hasattr(value, "resolve_expression"):
            return value
        return int(to_quantum(Decimal(value)) * SCALE)


def usd(amount: Decimal) -> models.Value:
    """Return the amount as an expression, for `F("held_usd") + usd(amount)`."""
    return models.Value(amount, output_field=UsdField())
