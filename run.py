"""The entry: ``python run.py``. Parses on every Python 3, so that an old one can be told what is missing."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST = (3, 11)


def main(argv: "list[str] | None" = None) -> int:
    """Runs the console with ``argv`` (default: the process's own). Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")  # a code page without Chinese must not end the program
    if sys.version_info[:2] < OLDEST:
        return _refuse("Dingshi needs Python 3.11 or newer; this is %d.%d (%s)." % (  # noqa: UP031
            sys.version_info[0], sys.version_info[1], sys.executable))
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    try:
        from dashboard.cli import main as console

        return console(argv)
    except KeyboardInterrupt:  # while it is still loading; the console tells it better
        return _refuse("Cancelled.")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "dashboard", "migrations") or package in sys.stdlib_module_names:
            raise
        return _refuse("The package %s is missing: wait for `make run` or `make init` to end, or run "  # noqa: UP031
                       "`make init` (by hand: python -m pip install -r requirements.txt)." % package)


def _refuse(text: str) -> int:
    sys.stderr.write(text + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
