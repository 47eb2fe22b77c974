"""`corsproxy` on asyncio's own loop, its workers too: `python -m bench.isolation.on_asyncio run …`.

The product always runs on uvloop. Workers are started in the way that their supervisor was started
itself, so that they come here as well.
"""

import asyncio
from typing import Any

import uvloop

from corsproxy.__main__ import main

if __name__ == "__main__":
    replaced: Any = uvloop
    replaced.run = asyncio.run
    main()
