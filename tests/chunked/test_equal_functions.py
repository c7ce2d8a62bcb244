"""An equal function is not compiled again, and one that computes something else since is noticed."""

import types
from functools import partial

import jax
import numpy as np
import pytest

import lithax as lx
from lithax.chunked import _block_function

SHAPE = (6, 5, 4)
FIELD = np.arange(120, dtype=np.float32).reshape(SHAPE)

factor = 2.0
settings = types.SimpleNamespace(shift=1.0, inner=types.SimpleNamespace(table=[1.0, 2.0]))
table = np.asarray([3.0, 4.0], np.float32)
module = types.ModuleType("helpers_of_a_user")


def helper(v):
    return v + 1


@pytest.fixture
def image():
    return lx.from_array(FIELD, chunks=(3, 5, 4))


@pytest.fixture
def compiled(monkeypatch):
    """The programs compiled since the test began; programs of other tests are forgotten."""
    made = []
    compile_it = _block_function._compile

    def count(traced):
        made.append(traced)
        return compile_it(traced)

    monkeypatch.setattr(_block_function, "_PROGRAMS", _block_function._Programs())
    monkeypatch.setattr(_block_function, "_compile", count)
    return made


def run(function, image, **options):
    return np.asarray(lx.chunk_map(function, image, progress=False, **options))


def test_an_equal_function_written_again_compiles_once(image, compiled):
    for _ in range(3):
        run(lambda v: v * 3 + 1, image)
    for _ in range(3):
        run(lx.chain(partial(lx.ops.uniform, size=3), lambda v: v > 2), image)
    assert len(compiled) == 2


def test_equal_operations_and_losses_written_again_compile_once(image, compiled):
    for _ in range(3):

        @lx.voxel_op(halo=1)
        def difference(block):
            return block[2:, 1:-1, 1:-1] - block[:-2, 1:-1, 1:-1]

        run(difference, image)
        loss = lx.measure.MeanLoss(lambda p, v: (p * v - 1) ** 2)
        value, _ = lx.chunk_value_and_grad(loss, 2.0, image, progress=False)
    assert len(compiled) == 2
    assert value == pytest.approx(np.mean((2.0 * FIELD - 1) ** 2))


def test_a_function_made_in_a_loop_over_numbers_is_each_its_own(image):
    for k in (1, 1.0, True, 2):
        np.testing.assert_array_equal(run(lambda v, k=k: v * k, image), FIELD * k)
        np.testing.assert_array_equal(run(lambda v: v * k, image), FIELD * k)  # noqa: B023


@pytest.mark.parametrize("same", [True, False], ids=["the same object", "written again"])
class TestWhatAFunctionReadsHasChanged:
    def test_a_global(self, image, same, monkeypatch):
        get = (lambda kept={}: kept.setdefault("f", lambda v: v * factor)) if same else (lambda: lambda v: v * factor)
        np.testing.assert_array_equal(run(get(), image), FIELD * 2)
        monkeypatch.setitem(globals(), "factor", 5.0)
        np.testing.assert_array_equal(run(get(), image), FIELD * 5)

    def test_a_default(self, image, same):
        def scaled(v, by=2.0):
            return v * by

        np.testing.assert_array_equal(run(scaled, image), FIELD * 2)
        if same:
            scaled.__defaults__ = (7.0,)
        else:

            def scaled(v, by=7.0):
                return v * by

        np.testing.assert_array_equal(run(scaled, image), FIELD * 7)

    def test_an_array_that_it_captured(self, image, same):
        weights = np.asarray([1.0, 2.0], np.float32)

        def make():
            return lambda v: v * weights[0] + weights[1]

        kept = make()
        np.testing.assert_array_equal(run(kept, image), FIELD + 2)
        weights[:] = 3.0
        np.testing.assert_array_equal(run(kept if same else make(), image), FIELD * 3 + 3)

    def test_a_large_captured_array_in_one_element(self, image, same):
        weights = np.ones(100_000, np.float32)

        def make():
            return lambda v: v * weights[77_777]

        kept = make()
        run(kept, image)
        weights[77_777] = 4.0
        np.testing.assert_array_equal(run(kept if same else make(), image), FIELD * 4)

    def test_an_attribute(self, image, same, monkeypatch):
        def make():
            return lambda v: v + settings.shift

        kept = make()
        np.testing.assert_array_equal(run(kept, image), FIELD + 1)
        monkeypatch.setattr(settings, "shift", 9.0)
        np.testing.assert_array_equal(run(kept if same else make(), image), FIELD + 9)

    def test_an_attribute_further_inside(self, image, same, monkeypatch):
        def make():
            return lambda v: v + settings.inner.table[1]

        kept = make()
        run(kept, image)
        monkeypatch.setattr(settings.inner, "table", [1.0, 5.0])
        np.testing.assert_array_equal(run(kept if same else make(), image), FIELD + 5)

    def test_a_helper_that_was_patched(self, image, same, monkeypatch):
        def make():
            return lambda v: helper(v) * 2

        kept = make()
        np.testing.assert_array_equal(run(kept, image), (FIELD + 1) * 2)
        monkeypatch.setitem(globals(), "helper", lambda v: v + 10)
        np.testing.assert_array_equal(run(kept if same else make(), image), (FIELD + 10) * 2)

    def test_a_helper_of_a_module(self, image, same, monkeypatch):
        monkeypatch.setattr(module, "correct", lambda v: v * 2, raising=False)

        def make():
            return lambda v: module.correct(v)

        kept = make()
        np.testing.assert_array_equal(run(kept, image), FIELD * 2)
        monkeypatch.setattr(module, "correct", lambda v: v * 4)
        np.testing.assert_array_equal(run(kept if same else make(), image), FIELD * 4)

    def test_what_a_helper_reads(self, image, same, monkeypatch):
        def inner(v):
            return v * factor

        def make():
            return lambda v: inner(v) + 1

        kept = make()
        np.testing.assert_array_equal(run(kept, image), FIELD * 2 + 1)
        monkeypatch.setitem(globals(), "factor", 3.0)
        np.testing.assert_array_equal(run(kept if same else make(), image), FIELD * 3 + 1)

    def test_a_callable_object(self, image, same):
        class Scale:
            def __init__(self, by):
                self.by = by

            def __call__(self, v):
                return v * self.by

        kept = Scale(2.0)
        np.testing.assert_array_equal(run(kept, image), FIELD * 2)
        kept.by = 6.0
        np.testing.assert_array_equal(run(kept if same else Scale(6.0), image), FIELD * 6)

    def test_inside_an_operation_and_a_chain(self, image, same, monkeypatch):
        def make():
            op = lx.voxel_op(lambda block: block[1:-1, 1:-1, 1:-1] * factor, halo=1)
            return lx.chain(op, lambda v: v + factor)

        kept = make()
        np.testing.assert_array_equal(run(kept, image), FIELD * 2 + 2)
        monkeypatch.setitem(globals(), "factor", 8.0)
        np.testing.assert_array_equal(run(kept if same else make(), image), FIELD * 8 + 8)

    def test_a_measurement_and_a_loss(self, image, same, monkeypatch):
        class Sum(lx.measure.AbstractMeasurement):
            def of(self, block, *, valid):
                return {"sum": (block * factor * valid).sum(dtype=np.float64)}

            def combine(self, a, b):
                return {"sum": a["sum"] + b["sum"]}

            def finish(self, state):
                return float(state["sum"])

        def loss():
            return lx.measure.MeanLoss(lambda p, v: p * v * factor)

        kept_sum, kept_loss = Sum(), loss()
        for value in (2.0, 4.0):
            monkeypatch.setitem(globals(), "factor", value)
            measure, lost = (kept_sum, kept_loss) if same else (Sum(), loss())
            assert lx.chunk_reduce(measure, image, progress=False) == FIELD.sum(dtype=float) * value
            _, gradient = lx.chunk_value_and_grad(lost, 1.0, image, progress=False)
            assert gradient == pytest.approx(FIELD.mean() * value)


def test_the_order_of_constants_and_their_precision_count(image, compiled):
    # Numbers that print alike, signed zeros, and arrays that differ late.
    for a in (1.0, 1.0 + 2**-52, 0.0, -0.0):
        found = run(lambda v, a=a: v * np.float64(a), lx.from_array(np.ones(SHAPE)))
        assert found[0, 0, 0] == a
        assert np.signbit(found[0, 0, 0]) == np.signbit(a)
    assert len(compiled) == 4


def test_rules_of_derivatives_do_not_tell_programs_apart(image, compiled):
    for _ in range(2):

        @jax.custom_jvp
        def squared(v):
            return v * v

        squared.defjvp(lambda p, t: (squared(*p), 2 * p[0] * t[0]))
        run(lambda v, squared=squared: squared(v), image)
    assert len(compiled) == 1
