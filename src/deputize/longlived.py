"""What a process that serves for days does once, when all its parts are made."""

from __future__ import annotations

import gc

YOUNG_OBJECTS_MAX = 20_000


def settle() -> None:
    """Keep the collector off what lives as long as the process, and look less often at what is young.

    The default looks at 700 new objects, which a busy kernel makes in a millisecond; what it makes dies
    by reference count almost always. For entry points alone: it changes the whole process.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, 10, 10)
