"""Why reading from a client is paused; bits, because there may be several reasons at once."""

from typing import Final

UPLOAD: Final = 1  # the upstream, or the wait for it, holds the request's body back (F7)
PIPELINE: Final = 2  # enough of later requests is held (S9)
