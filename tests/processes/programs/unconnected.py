"""A program that forgot to connect."""

import sys
from pathlib import Path

import lithax as lx

lx.zeros((4, 4, 4), "u1", store=Path(sys.argv[1]) / "a")
