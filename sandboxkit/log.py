"""The logger ``sandboxkit``: silent unless the program that uses the library sets logging up.

Imported only where something is logged, since ``logging`` is a tenth of the time of ``import sandboxkit``. What is
logged names sandboxes and providers, never commands, environment values or credentials.
"""

import logging

logger = logging.getLogger("sandboxkit")
logger.addHandler(logging.NullHandler())
