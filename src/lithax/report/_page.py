"""The page: one file that holds everything, for a browser, a printer or an e-mail."""

import functools
import importlib.resources
import json
from typing import Any

from lithax.report._analysis import Analysis
from lithax.report._finney_demo import Continuous
from lithax.report._number import Number, grouped
from lithax.report._picture import Picture
from lithax.report._transport_part import TransportPart
from lithax.report._truth import OTSU_TOLERANCE, Comparison


@functools.cache
def _template() -> Any:
    import jinja2

    text = (importlib.resources.files("lithax.report") / "_templates" / "page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["percent"] = lambda share, decimals=2: f"{100 * share:.{decimals}f}"
    environment.filters["points"] = _points
    environment.filters["grouped"] = grouped
    return environment.from_string(text)


def render(
    report: Any,
    analysis: Analysis,
    drawn: dict[str, Picture],
    continuous: tuple[Continuous, ...] = (),
    comparisons: tuple[Comparison, ...] = (),
    parts: tuple[TransportPart, ...] = (),
) -> str:
    """Return the page of a report as HTML with its pictures inside.

    Parameters
    ----------
    report
        Title, numbers, criteria, warnings and provenance.
    analysis
        What was measured.
    drawn
        Pictures by name.
    continuous, comparisons
        The truth, and each scan compared with it; empty where no truth is known.
    parts
        What the solvers found; empty where none was asked for.
    """
    numbers = {number.key: number for number in report.numbers}

    def group(*prefixes: str) -> list[Number]:
        # In the order of the prefixes: a table tells a story.
        return [n for p in prefixes for key, n in numbers.items() if key == p or key.startswith(f"{p}.")]

    return _template().render(
        report=report,
        analysis=analysis,
        grey=analysis.grey,
        space=analysis.space,
        numbers=numbers,
        group=group,
        pictures=drawn,
        parts=parts,
        continuous=continuous,
        comparisons=comparisons,
        provenance=report.provenance,
        settings_text=json.dumps(report.provenance["settings"], ensure_ascii=False),
        input_rows=_rows(report.provenance["input"]),
        tolerance=OTSU_TOLERANCE,
    )


def _points(difference: float | None, decimals: int = 3) -> str:
    """Return a difference of porosities in porosity units, with its sign."""
    if difference is None:
        return "–"
    return f"{100 * difference:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _rows(described: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, value in described.items():
        text = ", ".join(f"{k} = {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        if text:
            rows.append((name, text))
    return rows
