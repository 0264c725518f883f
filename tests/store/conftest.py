import pytest

pytest.register_assert_rewrite("deputize.testing.store_suite")
