"""Why reading from a client is paused; bits, because there may be several reasons at once."""

from typing import Final

UPLOAD: Final = 1  # the upstream, or the wait for it, holds the request's body back (F7)
PIPELINE: Final = 2  # later requests are held while one is under way (S9)
WRITE: Final = 4  # the client does not read what was written to it (F7)
TURN: Final = 8  # the client had its share of this turn of the loop (S9)
