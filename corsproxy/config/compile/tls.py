"""Whether TLS can be spoken with the files that are named. Knows places, leaves files to others."""

from collections.abc import Callable

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.yaml.nodes import Path
from corsproxy.tls.contexts import BadTlsFile


def check_tls(context: CompileContext, path: Path, make: Callable[[], object]) -> None:
    """Report the file below `path` because of which `make` cannot make a context, if any."""
    try:
        make()
    except BadTlsFile as fault:
        at = (*path, fault.key)
        found = context.masked(at, fault.file)
        context.report("tls_file_invalid", at, key=fault.key, found=found, fault=fault.detail)
