"""Build the environment of the vendors' own SDKs: ``python tests/interop/setup_environment.py``.

They live apart from ours, because their dependencies are theirs.  The environment stands beside this file
in ``.venv``, or where VOICETRIO_INTEROP_VENV says; the tests look there, and skip without it.  Running the
script again costs nothing while the requirements are the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"


def environment_path() -> Path:
    """Return the directory of the environment, which need not exist."""
    return Path(os.environ.get("VOICETRIO_INTEROP_VENV") or HERE / ".venv")


def environment_python() -> Path:
    """Return the interpreter of the environment, which need not exist."""
    return environment_path() / "bin" / "python"


def is_ready() -> bool:
    """Tell whether the environment was built from the requirements as they are now."""
    stamp = environment_path() / "requirements.txt"
    return stamp.is_file() and stamp.read_bytes() == REQUIREMENTS.read_bytes()


def main() -> None:
    """Build the environment if it is not ready."""
    path = environment_path()
    if is_ready():
        print(f"{path} is ready")
        return
    venv.EnvBuilder(with_pip=True, clear=True).create(path)
    command = [str(environment_python()), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)]
    subprocess.run(command, check=True)
    # Last of all: an installation that broke off half-way is made again.
    (path / "requirements.txt").write_bytes(REQUIREMENTS.read_bytes())
    print(f"{path} is built")


if __name__ == "__main__":
    sys.exit(main())
