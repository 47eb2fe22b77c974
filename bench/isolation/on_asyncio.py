"""`corsproxy` on asyncio's own loop, its workers too: `python -m bench.isolation.on_asyncio run …`.

The product always runs on uvloop. Workers are started like their supervisor, so that they run
this module, too.
"""

import asyncio
from typing import Any

import uvloop

from corsproxy.__main__ import main

if __name__ == "__main__":
    replaced: Any = uvloop
    replaced.run = asyncio.run
    main()
