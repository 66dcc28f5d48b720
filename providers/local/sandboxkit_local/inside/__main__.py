"""The entry of the building process: ``python -I -S <this file> <sandbox id>``."""

import sys

sys.path.append(__file__.rsplit("/", 3)[0])

from sandboxkit_local.inside.outer import main

main()
