"""`python -m xops.cli`: the command where no script of it is on the path."""

from xops.cli import main

if __name__ == "__main__":
    main()
