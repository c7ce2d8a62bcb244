"""Units as people write them."""

_SYMBOLS = {
    "um": "µm",
    "micron": "µm",
    "micrometer": "µm",
    "micrometre": "µm",
    "millimeter": "mm",
    "millimetre": "mm",
    "nanometer": "nm",
    "nanometre": "nm",
    "centimeter": "cm",
    "meter": "m",
    "metre": "m",
    "angstrom": "Å",
}


def unit_symbol(unit: str) -> str:
    """Return a unit as it is written behind a number: "µm" for "um"; one that is not known stays as
    it is.

    >>> unit_symbol("um"), unit_symbol("1/um"), unit_symbol("furlong")
    ('µm', '1/µm', 'furlong')
    """
    over = unit.startswith("1/")
    name = unit.removeprefix("1/")
    return ("1/" if over else "") + _SYMBOLS.get(name, name)
