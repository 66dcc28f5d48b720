"""Python imports this at its start when the directory is on its path: the runner of the mutations puts it there."""

import sys

# pytest itself gets the bug as a plugin: it must see the first import of what it may rewrite.
if "pytest" not in sys.orig_argv:
    from tests.mutations.planting import plant

    plant()
