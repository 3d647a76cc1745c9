"""``python -m cosmogan`` is the command ``cosmogan``."""

import sys

from cosmogan.cli import main

sys.exit(main())
