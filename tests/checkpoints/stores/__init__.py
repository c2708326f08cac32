import pytest

pytest.register_assert_rewrite("tests.checkpoints.stores.conformance")
