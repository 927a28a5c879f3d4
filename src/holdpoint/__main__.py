"""``python -m holdpoint`` is the command line."""

from holdpoint.cli import main

if __name__ == "__main__":
    main()
