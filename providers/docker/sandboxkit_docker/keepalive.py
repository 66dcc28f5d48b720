"""What runs as PID 1: a small POSIX sh program that keeps the container up until its deadline.

It needs ``/bin/sh``, ``sleep`` and ``date``, writes nothing, and runs as any user on a read-only root. Held on
dash, bash as sh and busybox ash, as the tests prove again:

- It ends at an *absolute* time, so also after a restart, and every process ends with it: the kernel kills what
  is left in the PID namespace of a PID 1 that has gone. The time is read anew at least every 30 seconds, since
  ``sleep`` does not count the time that a suspended host was away.
- It reaps orphans, because a shell in ``wait`` waits for any child. So no ``--init`` is needed, and without that,
  ``kill -9 -1`` inside spares it: the kernel shields only PID 1. Its timer, when killed, is started again.
- Its PID 1 forks nothing once it runs, and the timer survives a failed fork (``command eval`` keeps dash and ash
  from leaving, a second long ``sleep`` and ``/proc/uptime`` stand in for what cannot be forked): a fork bomb at
  the process limit neither ends the sandbox early nor keeps it past its deadline.
- SIGTERM and SIGINT end it at once, whatever its children do with theirs.
- A command of the user's runs as its child, never as a builtin of the shell, and ends the container with its exit
  code. The end of a child wakes
  PID 1, never a trap: bash loses signals that come just before ``wait``. As with every background job of a
  shell, SIGINT and SIGQUIT start out ignored in it (POSIX 2.11).
"""

from __future__ import annotations

import math

RECHECK = 30
"""Seconds after which the clock is read again."""

# $e the deadline, $w the timer, $c the user's command, $l the timer's long sleep, $f its short one, $d the deadline
# on the clock of /proc/uptime. The wrapper around the command ends the timer with SIGUSR2 (128+12): that is what
# tells the command's end from other deaths of the timer. 127: the image has no date or no sleep.
PROGRAM = f"""\
trap 'exit 143' TERM;trap 'exit 130' INT
e=$1;shift
t(){{ exec 2>/dev/null;PATH="${{PATH:+$PATH:}}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
while :;do f=;read -r u x </proc/uptime;u=${{u%.*}}
command eval 'n=$(date +%s)
case $n in *[!0-9]*|"");;*)[ $n -lt $e ]||exit 0
s=$((e-n));d=$((u+s));kill -0 $l||{{ sleep $s&l=$!;}}
[ $s -le {RECHECK} ]||s={RECHECK};sleep $s&f=$!;wait $f;[ $? != 127 ]||exit 127;;esac'
[ "$f" ]&&continue;[ "$d" ]||exit 127;[ $u -lt $d ]||exit 0;wait $l
done;}}
t&w=$!
if [ $# -gt 0 ];then ( (exec "$@");s=$?;kill -USR2 $w;exit $s)&c=$!;fi
exec 2>/dev/null
while :;do wait $w;s=$?
case $s in 0|127)exit $s;;140)[ "$c" ]&&{{ wait $c;exit $?;}};;esac
[ "$c" ]&&{{ command eval 'sleep 1';z=Z;read -r z </proc/$c/stat;case ${{z##*) }} in [ZX]*)wait $c;exit $?;;esac;}}
w=;until [ "$w" ];do command eval 't&w=$!';done
done
"""


def argv(expires_at: float, command: tuple[str, ...] | None) -> tuple[str, ...]:
    """Give the container's whole command line; ``expires_at`` in seconds since the epoch, rounded up."""
    return ("/bin/sh", "-c", PROGRAM, "sandboxkit", str(math.ceil(expires_at)), *(command or ()))
