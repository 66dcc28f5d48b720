"""What runs on the sandbox's side: the process that builds it and then, as its PID 1, serves it.

These modules are loaded by a bare interpreter (``-I -S``), so they import little and nothing of the client's
side; after the root has changed nothing can be imported any more, so every import stands at the top.
"""
