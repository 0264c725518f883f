"""`python -m deputize.town`."""

from deputize.town.command import main

raise SystemExit(main())
