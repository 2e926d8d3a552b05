"""``python -m ambidex.cli``."""

import sys

from ambidex.cli import main

sys.exit(main())
