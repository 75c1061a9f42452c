"""`python -m byoc_nb` is `byoc-nb`."""

import sys

from byoc_nb.cli import main

if __name__ == "__main__":  # a processor's worker processes may import this file again
    sys.exit(main())
