"""The SQLite store, held to the suite that every store is held to."""

from deputize.testing.store_suite import StoreSuite
from tests.store.factories import count_blobs


class TestSqlite(StoreSuite):
    factory = "tests.store.factories:open_sqlite"
    blobs = staticmethod(count_blobs)
