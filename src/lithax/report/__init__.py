"""From a scan to petrophysical numbers: a page, a table and a document, each number with unit,
denominator and evidence.
"""

from lithax.report._number import Number as Number
from lithax.report._report import Report as Report
from lithax.report._report import report as report
from lithax.report._truth import Criterion as Criterion
