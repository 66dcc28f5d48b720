"""The scan: how the sandbox's own shell finds the processes of a command's tree, and ends them.

It knows them by their mark, by their session and by their parents: see :mod:`sandboxkit.launcher`. It uses builtins
only and forks nothing, so that it works when the sandbox's process limit is reached.
"""

from __future__ import annotations

KILL_SECONDS = 3
"""Seconds that the sandbox goes on trying to end a tree."""

# A process's name may hold anything, so the fields are counted from the last ") ", wherever lines begin. Files are
# read to their end: of a process that ends meanwhile, bash cannot go back to where it was, and takes what it had
# read ahead for the next file's.
STAT = '__stat(){ __l=;while read -r __e;do __l="$__l$__e ";done <$1/stat;[ "$__l" ];}'

# $M: the launcher's mark, $S: its session or "x", $B: its start time, or 0 where it may not carry the mark yet, $A:
# whether to end the launcher too. Reads with builtins only. Zombies keep their limits: skip them, unless they have
# threads that live. What is older than the launcher or not of this command stays so ($__o), and is looked at once
# only, since shells read byte by byte; until process ids are given out from the beginning again. A command may have
# stopped its launcher, which must go on to report: SIGCONT. What may not be killed is a hit all the same: it is not
# gone. su gives its child limits and a session of its own, so what is to be killed ($__ours) is looked for before
# anything is: the children of what is in it are in it too. A process that lives for a millisecond is gone before a
# scan gets to it, and its child is not in the list: so where new pids were given out meanwhile, the newest are
# looked at again and again. The kernel tells the last one; where it does not, that is 0 at all times.
SCAN = f"""\
{STAT}
__other(){{ __o="$__o$__p "; }}
__one(){{ __stat $1||return;__p=$1;set -- ${{__l##*) }}
case ${{1:-?}} in Z|X|x)[ ${{18:-0}} -gt 1 ]||return;;esac
[ "${{20:-$B}}" -ge $B ]||{{ __other;return;}}
case $__ours in *" $__p "*);;*" ${{2:-x}} "*)__ours="$__ours$__p " __more=1;;*)
__v=;while read -r __a __b __c __soft __e;do [ "$__a$__b$__c" = Maxfilelocks ]&&__v=$__soft;done <$__p/limits
case $__v in $((M+1)));;$M)kill -CONT $__p;[ "$A" ]||return;;'')return;;
*)[ "${{4:-0}}" = "$S" ]||{{ [ $B = 0 ]||[ "$__learn" ]||__other;return;}};;esac
__ours="$__ours$__p " __more=1;;esac
[ "$__learn" ]||{{ kill -KILL $__p;__hit=1;}}; }}
__ask(){{ case $__o in *" $1 "*);;*)__one $1;;esac; }}
__newest(){{ __was=$__new;__new=0;read -r __a __b __c __e __new <loadavg
case $__new in ''|*[!0-9]*)__new=0;;esac;[ $__new -ge $__was ]||__o=' ' __ours=' '; }}
__scan(){{ __newest;__seen=$__new;for __p in [0-9]*;do __ask $__p;done
__newest;[ $__new = $__seen ]&&return;__turn=0;while [ $__turn -lt 20 ];do __turn=$((__turn+1))
[ $__seen -le $__new ]&&[ $__seen -gt $((__new-8)) ]||__seen=$((__new-8))
while [ $__seen -lt $__new ];do __seen=$((__seen+1));__ask $__seen;done;__newest;done; }}
__gather(){{ __learn=1 __more=1 __turn=0;while [ "$__more" ]&&[ $__turn -lt 5 ];do __more= __turn=$((__turn+1))
for __p in [0-9]*;do __ask $__p;done;done;__learn=;}}
__kill(){{ cd /proc||return 4;read -r __u __e </proc/uptime;__end=$((${{__u%.*}}+$1));__z=0 __o=' ' __ours=' ' __new=0
__gather;while [ $__z -lt 10 ];do __hit=;__scan;[ "$__hit" ]&&__z=0||__z=$((__z+1))
read -r __u __e </proc/uptime;[ ${{__u%.*}} -gt $__end ]&&return 4;done;return 3; }}"""
"""``__kill SECONDS``: 3 says that nothing of the tree is left, 4 that the time was over."""
