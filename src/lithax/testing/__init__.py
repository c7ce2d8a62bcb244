"""What tests of lithax, and of what is built on it, have in common."""

from lithax.testing._monoid import assert_monoid as assert_monoid
from lithax.testing._reference import ball_offsets as ball_offsets
from lithax.testing._reference import box_offsets as box_offsets
from lithax.testing._reference import gaussian_mean as gaussian_mean
from lithax.testing._reference import neighbourhood as neighbourhood
