"""`python -m byoc_nb` is `byoc-nb`."""

import sys

from byoc_nb.cli import main

sys.exit(main())
