"""What every store must do: one suite, held against each of them.

    class TestSqlite(StoreSuite):
        factory = "my_project.stores:open_sqlite"
        blobs = staticmethod(count_blobs)

The factory takes a place (a directory of the test's own) and a clock, and opens the store there;
`blobs` takes the place and counts what is stored there by digest.
"""

from __future__ import annotations

from deputize.testing.store_appending import Appending
from deputize.testing.store_books import Books
from deputize.testing.store_case import sound
from deputize.testing.store_keeping import Keeping
from deputize.testing.store_looking import Looking

__all__ = ["StoreSuite", "sound"]


class StoreSuite(Appending, Books, Keeping, Looking):
    """Subclass it as `Test…`, with `factory` and `blobs`."""
