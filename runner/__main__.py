"""The `fathom` command, also as `python -m runner`.

Its libraries are imported inside, so that Ctrl-C meanwhile is answered in a line as well.
"""

import sys


def main() -> None:
    """Do what the command line asks, and exit."""
    try:
        from runner.cli import status
    except KeyboardInterrupt:
        print("fathom: interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(status(sys.argv[1:]))


if __name__ == "__main__":
    main()
