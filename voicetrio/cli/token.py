"""``voicetrio token``: signed tokens for clients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from voicetrio.cli.serve_options import read_secret
from voicetrio.server.authentication import SignedTokens
from voicetrio.server.tokens import TokenSigner

__all__ = ["token"]


def token(
    subject: Annotated[str, Parameter(help="Who the token is for.")],
    *,
    secret_file: Annotated[Path, Parameter(help="The file that `voicetrio serve --secret-file` reads.")],
    ttl_s: Annotated[
        float, Parameter(help="How long it counts, in seconds.", validator=Number(gt=0))
    ] = 300.0,
) -> int:
    """Print a signed token with which a client may open sessions until it expires.

    A client sends it as `Authorization: Bearer TOKEN` or as `?token=TOKEN`; the page takes it as
    `#token=TOKEN`.

    Example: `voicetrio token ada --secret-file secret.txt`
    """
    print(SignedTokens(TokenSigner(read_secret(secret_file))).issue(subject, ttl_s=ttl_s))
    return 0
