"""Serve one project and say where, for tests that kill the process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from deputize.api.server import serve
from deputize.system import System


async def main() -> None:
    await serve(System.open(Path(sys.argv[1])), ready=lambda url: print(url, flush=True))


if __name__ == "__main__":
    asyncio.run(main())
