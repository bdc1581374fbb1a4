"""The command line: its subcommands, and what an error looks like.

A wrong command line ends with status 2, anything else that went wrong with status 1, and both with
one line on standard error.  Only a bug shows a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from voicetrio.cli.config_file import take_from_file
from voicetrio.cli.console import print_error
from voicetrio.cli.running import INTERRUPTED, expected_errors
from voicetrio.runtime.failures import leaves
from voicetrio.version import __version__

__all__ = ["app", "main"]

FAILED = 1
WRONG_USAGE = 2

app = App(
    name="voicetrio",
    help="A voice-agent runtime for trio: listen, talk to it, and look at what it did.",
    version=__version__,
    help_format="markdown",
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=()),
    config=(take_from_file,),
)
# Named by path, so that a command loads its own module only.
app.command("voicetrio.cli.demo.command:demo")
app.command("voicetrio.cli.talk:talk")
app.command("voicetrio.cli.serve:serve")
app.command("voicetrio.cli.token:token")
app.command("voicetrio.cli.simulate:simulate")
app.command("voicetrio.cli.bench:bench")
app.command("voicetrio.cli.speech:speech")
app.command("voicetrio.cli.say:say")
app.command("voicetrio.cli.transcribe:transcribe")
app.command("voicetrio.cli.doctor:doctor")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: what follows ``voicetrio`` on the command line; ``sys.argv`` when None.
    """
    tokens = list(arguments) if arguments is not None else sys.argv[1:]
    try:
        if tokens[:1] in ([], ["-h"], ["--help"]):
            _load_commands()
        status = app(tokens)
        sys.stdout.flush()
    except CycloptsError as error:
        command = " ".join(("voicetrio", *(error.command_chain or ())))
        print_error(f"{_one_line(str(error))} (see: {command} --help)")
        return WRONG_USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left (`voicetrio talk … | head`).  Python would complain once
        # more when it flushes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        expected = expected_errors(error)
        if not expected:
            raise
        for cause in expected:
            print_error(_one_line(_describe(cause)))
        return FAILED
    except BaseExceptionGroup as group:
        # A simulation meets Ctrl-C in one of its nurseries.
        if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves(group)):
            return INTERRUPTED
        raise
    return status if isinstance(status, int) else 0


def _load_commands() -> None:
    """Load every command, so that the list of them can say what each does."""
    for name in tuple(app):
        app[name]


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())
