"""`python -m flows`, in a checkout: the command line."""

from agg2exp_cli.__main__ import main

if __name__ == "__main__":
    main()
