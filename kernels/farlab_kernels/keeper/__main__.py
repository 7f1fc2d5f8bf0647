"""Runs the keeper: `python -m farlab_kernels.keeper`."""

from __future__ import annotations

import sys

from farlab_kernels.keeper.app import main

sys.exit(main())
