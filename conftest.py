"""What all tests share, the core's and every provider's: property tests mind no time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long an example takes, or the making of one, tells of who else uses the machine. What hangs meets the timeout.
settings.register_profile("sandboxkit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sandboxkit")
