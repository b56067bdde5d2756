#!/usr/bin/env python
"""Django's command line."""

import os
import sys

from lumikb import command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lumikb.settings")
    sys.exit(command_line.run(sys.argv))
