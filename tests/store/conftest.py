import pytest

pytest.register_assert_rewrite(
    "deputize.testing.store_appending",
    "deputize.testing.store_books",
    "deputize.testing.store_case",
    "deputize.testing.store_keeping",
    "deputize.testing.store_looking",
)
