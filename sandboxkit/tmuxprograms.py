"""The session programs: POSIX sh texts behind tmux sessions and, where the image has no tmux, the detached runner.

A session is a directory in its user's state directory. It holds ``conf`` (mode, token, mark, half of the log's
limit, echo, id), ``command`` and ``text`` (until they were read), ``run`` (:data:`RUN`), ``pid`` and ``logger``
(process id and start time of the runner and of what writes the log), ``exit``, ``tmux`` (the socket) and the log: one
or two files, each named 10^18 plus the offset of its first byte, so that their names sort.

The command's own end is told in the log, by a mark in the stream that no other byte can overtake: ``ESC X``, the
session's token, ``:``, the exit code, ``;``, ``ESC \\``, which a terminal does not show. So whoever has seen the mark
has seen all that the command wrote before.

The tmux server, the runner and the log's writer carry the session's mark as soft RLIMIT_LOCKS (see
:mod:`sandboxkit.launcher`), the command's tree carries the mark plus one: a kill finds all of it, and nothing else.

Names in programs that a command inherits its environment from begin with ``__``: a variable that is exported already
would hand its new value on.
"""

from __future__ import annotations

from sandboxkit.fileerrors import STOPPED, TOLD
from sandboxkit.fileprograms import TAKE
from sandboxkit.launcher import SET_MARK, quote
from sandboxkit.scan import KILL_SECONDS, SCAN

COLUMNS = 200
ROWS = 50
HISTORY = 10_000
"""Lines that a session keeps above its screen."""

FIRST = 10**18
"""The name of the file with the log's first byte."""

OVERLAP = 80
"""Bytes before the offset asked for that are sent too: more than the mark of the end takes."""

LONGEST_DIRECTORY = 80
"""Bytes of a directory that state is kept in; a socket's whole path has 107."""

# The state directory is named after the user and the start of the sandbox's first process: what a restart or a
# snapshot brings along is not taken for sessions. Names are restricted because tmux expands what it is given. It must
# be the user's own and no symlink, as others may write beside it.
_FIND = f"""\
die(){{ printf 'sandboxkit:%s\\n' "$1" >&2;exit {TOLD};}}
while read -r __a __b __u __c;do [ "$__a" = Uid: ]&&break;done </proc/self/status
__began(){{ __b=0 __l=;read -r __l <"/proc/$1/stat"||return;set -- ${{__l##*) }};__b=${{20}};}} 2>/dev/null
__began 1
__D=.sandboxkit-$__u-$__b __w=$PWD
__own(){{ [ -d "$1" ]&&! [ -L "$1" ]&&[ -O "$1" ];}}
__seek(){{ for __d in "${{TMPDIR-}}" /tmp /var/tmp /dev/shm /run "${{HOME-}}" "$__w";do
case $__d in [!/]*|''|*[!A-Za-z0-9/._+@-]*)continue;;esac
[ ${{#__d}} -le {LONGEST_DIRECTORY} ]||continue
__d=${{__d%/}}/$__D;"$1" "$__d"&&return;done;return 1;}}
"""

# $1: the session's name.
_OPEN = (
    _FIND
    + """\
__seek __own&&cd "$__d/$1" 2>/dev/null&&read -r mode t m half echo id <conf||die MISSING
n=$__d/$1
"""
)

_OPEN_TMUX = _OPEN + "[ $mode = tmux ]||die NOTMUX\n[ -S tmux ]||die ENDED\n"

# Up to 16 reads of what is there at a time: as they come, so that a poll sees them, and few processes. A full disk
# costs the older half and one read, which leaves a gap between the files' names. Once the mark of the end is in, the
# rest comes from what the command left behind: it is discarded, and does not get EPIPE.
_LOG = f"""\
__log(){{ trap '' HUP INT QUIT TERM USR1 USR2 ALRM PIPE
export LC_ALL=C
cd "$__n"||exit
read -r __l </proc/self/stat;set -- ${{__l##*) }};echo "${{__l%% *}} ${{20}}" >logger
__b=65536;[ $__h -lt $__b ]&&__b=$__h
__c=$((__h/__b));[ $__c -gt 16 ]&&__c=16
__o= __x={FIRST} __z=0
while :;do
if [ $__z -ge $__h ];then rm -f $__o;__o=$__x __x=$((__x+__z)) __z=0;fi
if [ -s exit ]&&grep -qsF $__t $__o $__x;then exec cat >/dev/null;fi
if __r=$(dd bs=$__b count=$__c 2>&1 >>$__x);then
case $__r in 0+0\\ *)exit;;esac
__z=$(stat -c %s $__x)
else [ -e conf ]||exit
rm -f $__o;__z=$(stat -c %s $__x||echo 0);__o=$__x __x=$((__x+__z+1)) __z=0
case $(dd bs=65536 count=1 2>&1 >/dev/null) in 0+0\\ *)exit;;esac
fi;done;}} 2>/dev/null
"""

# The server runs what detaches, and reaps it; what is typed into the pane ends neither it nor who asks for it. Who
# attaches after the end, perhaps having set out before, leaves as well.
#
# What is in the log was drawn for the clients, but a client that is detached loses what tmux could not write to its
# terminal yet. How much that is tmux does not tell, but it draws a client anew only when there is none, and what it
# left out for a slow one is in that. So a client is drawn anew until this has cost the same number of bytes twice. It
# goes without, after a while, if its terminal is not read or what the command left behind writes on.
_LEAVE = """\
__leave(){ (trap '' HUP INT QUIT TERM USR1 USR2 ALRM PIPE
set -- "exec /bin/sh $__n/run leave"
exec tmux -S "$__n/tmux" set-hook -g client-attached "run-shell -b '$1'" \\; run-shell -b "$1" </dev/null);}
__drawn(){ __i=0 __v=0 __d=0 __w=
while [ $__i -lt 100 ];do __i=$((__i+1)) __x=$__w
__w=$(tmux -S tmux display-message -p -c $1 '#{client_written}')
case $__w in ''|*[!0-9]*)return;;esac
[ "$__w" = "$__x" ]||continue
__x=$((__w-__v)) __v=$__w
if [ $__x = 0 ];then sleep 0.05||sleep 1;elif [ $__x = $__d ];then return;fi
__d=$__x;tmux -S tmux refresh-client -t $1
done;}
__let(){ exec >/dev/null 2>&1
cd "$__n"||return
__i=0;until LC_ALL=C grep -qsF $__t: 1*||[ $__i -gt 100 ];do __i=$((__i+1));sleep 0.01||sleep 1;done
for __c in $(tmux -S tmux list-clients -F '#{client_name}');do
(__drawn $__c;tmux -S tmux detach-client -t $__c)&
done;wait;}
"""

# A handler, not a disregard: it is reset in the command. The shell's own words ("Killed") are not the command's.
_JOB = """\
__job(){ exec 6>&1 >/dev/null 2>&1
trap : HUP INT QUIT TERM USR1 USR2 ALRM PIPE
(__k $((__m+1));exec >&6 2>&6 6>&-
[ -e "$__n/text" ]&&exec 9<"$__n/text"
. "$__n/command")
__s=$?
echo $__s >"$__n/exit"
printf '\\033X%s:%s;\\033\\\\' $__t $__s >&6
exec 6>&-;}
"""

# In tmux the runner outlives the command, so that its screen can still be looked at.
RUN = (
    '__n=${0%/*};read -r __mode __t __m __h __e __id <"$__n/conf"\n'
    + SET_MARK
    + "\n"
    + _LOG
    + _LEAVE
    + _JOB
    + """\
case $1 in
log)__log;;
leave)__let;exit 0;;
tmux)[ $__e = echo ]||stty -echo -opost
__job;__leave
exec sleep 2147483647;;
plain)echo $$
exec >/dev/null 2>&1
trap : HUP INT QUIT TERM USR1 USR2 ALRM PIPE
__job|__log;;
esac
"""
)
"""``tmux|plain|log|leave``: the runner, in a pane or without a terminal, what writes a pane's log, what detaches."""

# What a restart left behind is removed when the new directory is made. One that others made may be gone by the time
# that it is looked at, and then it is made here: a session that went elsewhere meanwhile would not be found.
_MAKE = """\
__make(){ __c=0
until mkdir -m 700 "$1" 2>/dev/null;do __own "$1"&&return
[ -w "${1%/*}/" ]&&[ $__c -lt 20 ]||return;__c=$((__c+1));done
for __o in "${1%/*}/.sandboxkit-$__u"-*;do [ "$__o" != "$1" ]&&__own "$__o"&&rm -rf "$__o";done;return 0;}
__find(){ __seek __own||__seek __make;}
"""

_OPTIONS = " \\; ".join(
    f"set-option -gq {option}"
    for option in (
        "default-shell /bin/sh",
        "default-terminal screen-256color",
        f"history-limit {HISTORY}",
        "status off",
        # Else what a program types at an attached terminal is taken for pasted text, and its keys do nothing.
        "assume-paste-time 0",
    )
)

# Set before there is a session, window-size ends the server of tmux 3.3.
#
# The directory is made aside and becomes the session by rename, which fails where the name is taken. An empty state
# directory is removed by whoever ends its last session, perhaps just now: so it is made until something is in it.
START = (
    _FIND
    + TAKE
    + _MAKE
    + SET_MARK
    + "\n"
    + SCAN
    + f"""
read -r __t __r __h __e __x __y||exit {STOPPED}
if [ "$3" ];then cd "$3" 2>/dev/null||{{ [ -d "$3" ]&&die CWD13;[ -e "$3" ]&&die CWD20;die CWD2;}};fi
__i=0
until __find&&mkdir "$__d/.$2" 2>/dev/null;do __i=$((__i+1));[ $__i -lt 20 ]||die NOWHERE;done
__n=$__d/.$2
trap 'rm -rf "$__n"' EXIT
trap 'exit 1' HUP INT TERM PIPE
(exec 3>"$__n/command";take $__x)||exit
[ $__y = 0 ]||(exec 3>"$__n/text";take $__y)||exit
while read -r __a __b __c __v __l;do [ "$__a$__b$__c" = Maxfilelocks ]&&break;done </proc/self/limits
case $__v in ''|*[!0-9]*)__v=0;;esac
__m=$(((__v>>32<<32)|__r))
unset TMUX TMUX_PANE
command -v tmux >/dev/null&&__k=tmux||__k=plain
printf %s {quote(RUN.encode()).decode()} >"$__n/run"&&
printf '%s %s %s %s %s %s\\n' $__k $__t $__m $__h $__e $2 >"$__n/conf"||exit 1
mv -T "$__n" "$__d/$1" 2>/dev/null||{{ [ -e "$__d/$1" ]&&die EXISTS;exit 1;}}
__n=$__d/$1
trap - EXIT
case $__k in
tmux)__x=$(__k $__m;exec tmux -S "$__n/tmux" -f /dev/null {_OPTIONS} \\; \\
new-session -d -s "$1" -x {COLUMNS} -y {ROWS} -P -F '#{{pane_pid}}' "exec /bin/sh $__n/run tmux" \\; \\
pipe-pane -t %0 "exec /bin/sh $__n/run log" \\; set-option -gq window-size manual 2>"$__n/errors" </dev/null);;
*)__x=$(__k $__m;exec setsid setsid /bin/sh "$__n/run" plain 2>"$__n/errors" </dev/null);;
esac
case $__x in
''|*[!0-9]*);;
*)__began $__x;echo $__x $__b >"$__n/pid"
read -r __a __a __a __a __a __id <"$__n/conf"&&[ "$__id" = $2 ]&&exit 0
__n=;;
esac 2>/dev/null
M=$__m S=x B=0 A=1;{{ __kill {KILL_SECONDS};}} >/dev/null 2>&1
[ "$__n" ]||die ENDED
cat "$__n/errors" >&2;rm -rf "$__n";die NOSTART
"""
)
"""``name id directory|''``: start what comes on stdin as a session.

stdin: a line of the token, an even number, half of the log's limit, ``echo`` or ``quiet``, and the sizes of what
follows: the command, and its text or nothing.
"""

_ALIVE = """\
alive(){ l=;read -r l <"/proc/$1/stat"||return;set -- $2 ${l##*) };case $2 in Z|X|x)return 1;;esac
[ "${21}" = "$1" ];} 2>/dev/null
up(){ [ -s pid ]||return 0;read -r p b <pid;alive $p $b&&return;[ -s logger ]&&read -r p b <logger&&alive $p $b;}
over(){ up||return 0;[ -s exit ]&&read -r e <exit||return 1
f=;for f in 1*;do :;done
case $(tail -c $((${#t}+${#e}+6)) "$f" 2>/dev/null) in *"$t:$e;"*)return 0;;esac
grep -qsF "$t:$e;" 1*;}
"""

# The end is looked for while there is time. What is printed then must not be older than what is said about it, so the
# order is: runs it still, its exit code, the log. The log's files are opened before they are measured: they may be
# removed meanwhile.
POLL = (
    _OPEN
    + _ALIVE
    + f"""\
now(){{ read -r u z </proc/uptime;u=${{u%.*}}${{u#*.}};}}
now;end=$((u+$3)) i=0 w=0 d=
until over&&d=1||[ $u -ge $end ]||[ $w -gt 100 ];do i=$((i+1))
[ -s exit ]&&w=$((w+1))
if [ $i -lt 20 ]||[ $w -gt 0 ];then s=0.01;elif [ $i -lt 60 ];then s=0.05;else s=0.2;fi
sleep $s 2>/dev/null||sleep 1;now;done
a=0;up&&a=1
e=-;[ -s exit ]&&read -r e <exit
o=$2;[ "$d$4" ]||o=-
while :;do set -- 1*;[ -e "$1" ]||{{ set --;break;}}
[ $# -gt 2 ]&&shift
exec 3<&- 4<&-
command exec 3<"$1"||continue
[ $# = 1 ]||command exec 4<"$2"||continue
break;done 2>/dev/null
case $# in
0)s=;;
1)s=$(stat -L -c %s /proc/self/fd/3);set -- $1 $s;s=$(($1-{FIRST}+$2));;
*)s=$(stat -L -c %s /proc/self/fd/3 /proc/self/fd/4);set -- $1 $2 $s;set -- $1 $3 $2 $4;s=$(($3-{FIRST}+$4));;
esac
s=$((${{s:-0}}-{OVERLAP}))
[ $o = - ]&&o=$s||o=$((o-{OVERLAP}))
[ $o -gt $s ]&&o=$s
[ $o -lt 0 ]&&o=0
echo $a $e $t $((half*2)) $o
echo $*
rest(){{ k=$((o-($1-{FIRST})+1));[ $k -gt 0 ]||k=1;}}
case $# in
2)rest $1;exec tail -c +$k <&3;;
4)rest $1;[ $k -gt $2 ]||tail -c +$k <&3;rest $3;exec tail -c +$k <&4;;
esac
"""
)
"""``name offset hundredths last|''``: how it is, having waited at most so long for its end.

Printed: a line of whether it lives (1 or 0), exit code or ``-``, token, the log's limit and the offset of the first
byte sent if it is there; a line of name and size of the log's files; the bytes. Unless the session has ended or this
is the last look, only the log's end is sent.
"""

LIST = (
    _FIND
    + _ALIVE
    + """\
__seek __own||exit 0
for n in "$__d"/*;do cd "$n" 2>/dev/null&&read -r mode t m x <conf||continue
s=running e=-;over&&{ s=completed;[ -s exit ]&&read -r e <exit;}
printf '%s %s %s %s\\n' "${n##*/}" $mode $s $e
done 2>/dev/null
exit 0
"""
)
"""Nothing: a line for each session: name, ``tmux`` or ``plain``, status, exit code or ``-``."""

# By rename the name is free at once, and whoever starts it again meets no half of this one.
KILL = (
    _OPEN
    + SCAN
    + f"""
[ -z "$2" ]||[ "$2" = $id ]||die MISSING
S=x B=0;[ -s pid ]&&read -r S B <pid&&B=$((B>3000?B-3000:0))
M=$m A=$3
{{ __kill {KILL_SECONDS};}} >/dev/null 2>&1
[ $? = 3 ]||die ALIVE
[ "$A" ]||exit 0
cd "$__d"&&mv -T "$1" ".gone-$id" 2>/dev/null&&rm -rf ".gone-$id"
cd /&&rmdir "$__d" 2>/dev/null
exit 0
"""
)
"""``name id|'' 1|''``: end a session's whole tree and forget it, or end its command only."""

DISCARD = _FIND + '__seek __own&&rm -rf "$__d/.$1";exit 0\n'
"""``id``: remove what a killed :data:`START` may have left before there was a session."""

# Through a file: a client that dies half-way must not send half of it.
SEND = (
    _OPEN_TMUX
    + TAKE
    + """\
i=$2 x=$3;shift 3
[ -s exit ]&&die ENDED
trap 'rm -f "$n/keys-$i"' EXIT
trap 'exit 1' HUP INT TERM PIPE
if [ $x != 0 ];then exec 3>"$n/keys-$i";take $x;exec 3>&-
tmux -S tmux load-buffer -b "keys-$i" "$n/keys-$i" \\; paste-buffer -r -d -b "keys-$i" -t %0||die ENDED;fi
[ $# = 0 ]||tmux -S tmux send-keys -t %0 -- "$@"||die ENDED
"""
)
"""``name id size key…``: type the bytes that come on stdin, as they are, then named keys."""

CAPTURE = _OPEN_TMUX + 'shift\ntmux -S tmux capture-pane -p -t %0 "$@"||die ENDED\n'
"""``name option…``: the screen."""

SOCKET = _OPEN_TMUX + 'printf %s "$n/tmux"\n'
"""``name``: where its tmux server listens."""
