"""`python -m conure_core VERB ...`: what `conure` does, where its script is not at hand."""

import sys

from conure_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
