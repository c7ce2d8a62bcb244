"""The elements: a table that users can extend without changing anyone else's."""

import csv
import functools
import importlib.resources
import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Element:
    """One element, or whatever is to be treated as one."""

    symbol: str
    name: str
    atomic_number: float
    """Z [-]; need not be whole for an element of one's own."""
    atomic_weight: float
    """Relative atomic mass [g/mol]."""
    source: str = ""


class PeriodicTable(Mapping[str, Element]):
    """Elements by symbol: ``periodic_table()["Si"].atomic_weight``. Immutable; `with_element`
    returns a larger one.
    """

    def __init__(self, elements: Mapping[str, Element]):
        """Hold elements by their symbols."""
        self._elements = dict(elements)

    def __getitem__(self, symbol: str) -> Element:
        try:
            return self._elements[symbol]
        except KeyError:
            raise KeyError(
                f"{symbol!r} is no element of this table. Symbols are written as in 'SiO2'; an element of your own is "
                f"added by table.with_element({symbol!r}, atomic_number=..., atomic_weight=...)."
            ) from None

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._elements

    def __iter__(self) -> Iterator[str]:
        return iter(self._elements)

    def __len__(self) -> int:
        return len(self._elements)

    def with_element(
        self, symbol: str, *, atomic_number: float, atomic_weight: float, name: str = "", source: str = "user"
    ) -> "PeriodicTable":
        """Return a table that has one element more, or one replaced.

        Parameters
        ----------
        symbol
            A capital letter, then small letters, such as "Qz".
        atomic_number
            Z [-], positive.
        atomic_weight
            Relative atomic mass [g/mol], positive.
        name, source
            For the record.

        Raises
        ------
        ValueError
            If the symbol cannot stand in a formula, or a number is not positive.
        """
        if not (symbol.isascii() and symbol.isalpha() and symbol == symbol.capitalize()):
            raise ValueError(f"symbol={symbol!r} must be a capital letter and then only small ones, such as 'Si'.")
        for what, value in (("atomic_number", atomic_number), ("atomic_weight", atomic_weight)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{what}={value!r} of {symbol} must be positive.")
        element = Element(symbol, name or symbol, float(atomic_number), float(atomic_weight), source)
        return PeriodicTable({**self._elements, symbol: element})

    def to_pandas(self) -> Any:
        """Return the table as a pandas data frame, one row per element."""
        import pandas

        rows = sorted(self.values(), key=operator.attrgetter("atomic_number"))
        return pandas.DataFrame([vars(element) for element in rows]).set_index("symbol")

    def __repr__(self) -> str:
        return f"PeriodicTable({len(self)} elements)"


@functools.cache
def periodic_table() -> PeriodicTable:
    """Return the 118 elements with their standard atomic weights [g/mol].

    Elements without a standard atomic weight have the mass number of one of their isotopes.

    References
    ----------
    T. Prohaska et al., Standard atomic weights of the elements 2021 (IUPAC technical report), Pure
    and Applied Chemistry 94 (2022) 573-600. doi:10.1515/pac-2019-0603
    """
    return PeriodicTable(
        {
            row["symbol"]: Element(
                row["symbol"], row["name"], float(row["atomic_number"]), float(row["atomic_weight"]), row["source"]
            )
            for row in read_table("elements.csv")
        }
    )


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a data file of this room, by the names in its header; lines that begin
    with # are comments.
    """
    file = importlib.resources.files("lithax.models") / "_data" / name
    with file.open(encoding="utf-8") as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))
