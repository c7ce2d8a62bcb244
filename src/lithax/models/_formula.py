"""Chemical formulas, read."""

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"([A-Z][a-z]*)|([(\[{])|([)\]}])|(\d+\.?\d*|\.\d+)")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_DOTS = re.compile("[·∙•⋅*]")  # the typographic ways to write the dot of a hydrate
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def parse_formula(formula: str) -> dict[str, float]:
    """Return the amount of every element in a chemical formula [mol per mole of formula units].

    Groups stand in brackets, hydrates after a dot: "CaMg(CO3)2", "CaSO4·2H2O" (or ``*``). A full
    stop is a decimal point: "Fe0.95O". Charges have no place here: their electrons are not counted.

    Parameters
    ----------
    formula
        Symbols as in the periodic table, capital letter first.

    Raises
    ------
    ValueError
        If the text is no formula; the message points at the place.
    """
    text = formula.translate(_SUBSCRIPTS).replace(" ", "")
    if not text:
        raise ValueError("The formula is empty; give one such as 'SiO2'.")
    total: dict[str, float] = {}
    for part in _DOTS.split(text):
        leading = re.match(r"\d+\.?\d*|\.\d+", part)
        factor = float(leading.group()) if leading else 1.0
        _add(total, _parse_part(part[leading.end() if leading else 0 :], formula), factor)
    return total


def _parse_part(part: str, formula: str) -> dict[str, float]:
    groups: list[tuple[str, dict[str, float]]] = [("", {})]
    last: dict[str, float] | None = None  # what a number would multiply
    position = 0
    while position < len(part):
        token = _TOKEN.match(part, position)
        if token is None:
            raise ValueError(
                f"formula={formula!r}: {part[position:]!r} has no place in a formula such as 'CaMg(CO3)2'."
            )
        symbol, opening, closing, number = token.groups()
        if number:
            if last is None:
                raise ValueError(f"formula={formula!r}: the number {number} follows no element or group.")
            if float(number) == 0:
                raise ValueError(f"formula={formula!r}: an amount of 0; leave the element out.")
            _add(groups[-1][1], last, float(number))
            last = None
        else:
            if last is not None:
                _add(groups[-1][1], last, 1.0)
                last = None
            if symbol:
                last = {symbol: 1.0}
            elif opening:
                groups.append((opening, {}))
            else:
                bracket, last = groups[-1] if len(groups) > 1 else ("", None)
                if not last or _CLOSING[bracket] != closing:
                    raise ValueError(f"formula={formula!r}: {closing!r} closes no bracket, or an empty one.")
                groups.pop()
        position = token.end()
    if last is not None:
        _add(groups[-1][1], last, 1.0)
    if len(groups) > 1:
        raise ValueError(f"formula={formula!r}: a bracket {groups[-1][0]!r} is never closed.")
    if not groups[0][1]:
        raise ValueError(f"formula={formula!r} has a part without an element.")
    return groups[0][1]


def _add(total: dict[str, float], amounts: Mapping[str, float], factor: float) -> None:
    for symbol, amount in amounts.items():
        total[symbol] = total.get(symbol, 0.0) + factor * amount
