"""What runs as the container's first process: a small POSIX sh program that keeps it up until its deadline.

It needs ``/bin/sh``, ``sleep`` and ``date``, writes nothing, and runs as any user on a read-only root. A shell in
``wait`` waits for any child, so orphans are reaped. It ends at an absolute time, also after a restart, whereas the
service counts ActiveDeadlineSeconds from a start; should it be tampered with, that ends the sandbox a little later. A
command of the user's runs as its child and ends the container with its exit code.
"""

from __future__ import annotations

import math

LONGEST_WORD = 256
"""Characters that one word of a container's command may have, as documented."""

# t: the timer. It tells the first process of the deadline more than once, since bash loses signals that come just
# before "wait". A failed fork ends dash and busybox's ash, but not inside "command eval".
PROGRAM = """\
trap 'exit 143' TERM;trap 'exit 130' INT;trap 'exit 0' USR1;e=$1;shift
t(){ while n=$(date +%s)||exit;[ "$n" -lt $e ];do s=$((e-n));[ $s -le 30 ]||s=30;sleep $s||exit;done
while :;do kill -USR1 $$;sleep 1||exit;done;}
t&if [ $# -gt 0 ];then (exec "$@")&wait $!;exit $?;fi
while :;do wait $!;command eval 'sleep 1;t&';done
"""


def argv(expires_at: float, command: tuple[str, ...]) -> tuple[str, ...]:
    """Give the container's whole command line; ``expires_at`` in seconds since the epoch, rounded up."""
    parts = [PROGRAM[at : at + LONGEST_WORD] for at in range(0, len(PROGRAM), LONGEST_WORD)]
    joined = "".join(f"${number}" for number in range(1, len(parts) + 1))
    start = f'p={joined};shift {len(parts)};eval "$p"'
    return ("/bin/sh", "-c", start, "sandboxkit", *parts, str(math.ceil(expires_at)), *command)
