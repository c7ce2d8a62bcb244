"""Forward physics as pure functions: what materials are made of, and how they attenuate X-rays."""

from lithax.models._coefficients import Coefficients as Coefficients
