"""The pytest plugin that plants the bug in the test process."""

from __future__ import annotations

from tests.mutations.planting import plant

plant()
