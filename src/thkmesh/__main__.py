"""``python -m thkmesh``."""

import sys

from thkmesh.cli import main

sys.exit(main())
