"""A few draws of each campaign; ``nox -s faults`` draws for as long as it is told."""

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("campaigns", Path(__file__).with_name("campaigns.py"))
campaigns = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(campaigns)

SEEDS = {"kill": range(6), "fuzz": range(20), "corrupt": range(12)}


@pytest.mark.parametrize("name", SEEDS)
def test_a_few_draws(name, forked):
    for seed in SEEDS[name]:
        try:
            campaigns.run_one(name, seed, forked)
        except Exception as error:
            error.add_note(f"python tests/faults/campaigns.py --campaign {name} --seed {seed}")
            raise
