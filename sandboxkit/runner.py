"""The runner: what a shell is told that stays and takes one command after another, so that none costs an exec.

Pure text in, bytes out. The runner is a script of :data:`~sandboxkit.launcher.BOOTSTRAP`'s. It reads requests, lines
of shell that this module writes, from its stdin, and each runs one command in a subshell that becomes it: directory,
environment, umask, limits, traps and descriptors end with it. Mark, records, kill and watchdog are those of
:mod:`sandboxkit.launcher`, with a token and a mark for each command, so that nothing but its own request can end it.

Commands write to the channel's own pipes, through descriptors that each opens anew (one may leave ``O_NONBLOCK`` on
its own). So at a command's end the runner looks whether anything that was left behind still has one of them, or is
in the runner's session, where a later command's kill would find it. It looks at the processes that are newer than
the command, forks nothing, and adds what it found to the record of the end: ``c`` (clean: the next command may
come), ``d`` (something is there) or ``n`` (streams that are no pipes cannot be kept apart). Unless it is clean the
runner ends.

The working directory may have been removed and made again meanwhile: each command enters it by its name.

Stdin that comes behind a request is followed by its token in a line: if the runner finds something else there, the
input was not read as it was sent, and the runner ends. Since it may never come, such a command's end is told before,
and what was found in a record ``R`` of its own. ``raw`` stdin is read by a program of the library's, whose exit code
0 says that it has read all of it and no more.
"""

from __future__ import annotations

from sandboxkit.launcher import (
    AWAIT,
    SET_MARK,
    TRAPS,
    WATCHDOG,
    Ticket,
    directory,
    durations,
    environment,
    execution,
    feed,
    frame,
    is_long,
    quote,
)
from sandboxkit.model import Command
from sandboxkit.scan import STAT

LONGEST_LINE = 4096
"""Bytes of a request that are read as a line, which shells do byte by byte; ``dd``, a process, reads a longer one."""

LARGEST_REQUEST = 100_000
"""Bytes of a request at most: the shell holds it several times over."""

EMBEDDED = 3072
"""Bytes of stdin that travel within the request, so that no process has to pass them on."""

MOST_SCRIPTS = 32
"""Programs of the library's that a runner keeps, so that each is sent to it once."""

# What the range of new process ids may hold before it is quicker to look at those that live.
_MANY = 256

# How often it is looked whether others came while the new ones were looked at. While they come it is not clean: a
# chain of processes that each live for a moment is never met, but for the last one.
_ROUNDS = 8

# PF_EXITING in a process's flags: it runs no more, though it may still be seen, and its descriptors no longer. Or
# PF_KTHREAD: where the host's processes are seen, so are the kernel's, which have none. Any other process that shows
# no descriptors (it has another user; root, too, needs CAP_SYS_PTRACE to look at some) is taken to hold them.
# Where the runner's own parent is out of sight, in a container that was entered from outside, what comes of a command
# has a parent that is newer than it, the runner, or the first process, which adopts: others, those of other channels
# and what is just entering, need not be looked at, and may not be. Nor what is older than the runner: where the
# client runs on the same host, it is that, and holds the other ends of the pipes.
_ENDED = 0x4 | 0x200000

# Where it does not move with each process (a cached or a made-up one) the last process id tells nothing: then every
# process is looked at each time.
_LAST = "read -r __a __a __a __a {} __a </proc/loadavg"

# Where there are few process ids, a command that takes its time may use up all of them, and then those that it left
# behind are not between the last one before it and the last one after it. A million take many minutes.
_NO_LAP, _SOON = 1_000_000, 2
_NOW = "read -r {} __a </proc/uptime"

_SCRIPT = f"""\
{{
exec 3>&1 4>&2 >/dev/null 2>&1
unset __s __n
__v=n __o='>&3 2>&4'
if [ -p /proc/self/fd/3 ]&&[ -p /proc/self/fd/4 ]&&command exec 3>/proc/self/fd/3&&command exec 4>/proc/self/fd/4
then __v= __o='>/proc/self/fd/3 2>/proc/self/fd/4';fi
{SET_MARK}
__guard(){{
{TRAPS.decode()}}}
__guard
read -r __l </proc/self/stat;set -- ${{__l##*) }};__sid=$4 __start=${{20}}
[ "$__sid" = $$ ]||__sid=x
__nl='
'
__home=$(pwd -P&&echo .)||__home=;__home=${{__home%?.}}
__kin=;[ "$PPID" = 0 ]&&__kin=1
__dog={quote(WATCHDOG.encode()).decode()}
{_LAST.format("__q")}
__z=$(read -r __l </proc/self/stat;echo ${{__l%% *}})
{_LAST.format("__0")}
[ "$__z" -gt "$__q" ]&&[ "$__z" -le "$__0" ]&&__every=||__every=1
__lap=1;read -r __x </proc/sys/kernel/pid_max&&[ "$__x" -ge {_NO_LAP} ]&&__lap=
__begin(){{ __t=$1 __m=$2 __w= __r=;__k $2;[ "$__every" ]||{_LAST.format("__0")}
[ -z "$__lap" ]||{_NOW.format("__u")};}}
__lapped(){{ [ "$__lap" ]&&{_NOW.format("__x")}&&[ $((${{__x%.*}}-${{__u%.*}})) -gt {_SOON} ];}}
__watch(){{ trap - TERM
setsid /bin/sh -c "$__dog" sh $__m $__sid $__start "$1" </dev/null 3>&- 4>&-&
__w=$!;trap : TERM;}}
__in(){{ __k $((__m+1));set -- /proc/self/task/*;__l=${{1##*/}}
[ -z "$__home" ]||[ . -ef "$__home" ]||{{ cd "$__home"&&unset OLDPWD;}}||{{ printf '%s' "$__t:W2;" >&3;exit 1;}};}}
__go(){{ printf '%s' "$__t:P$__l,$__sid,$__start;" >&3;eval "exec $__o 3>&- 4>&-";}}
__say(){{ printf '%s' "$__t:$1;" >&3;printf '%s' "$__t:$1;" >&4;}}
{AWAIT}
__over(){{ __s=$1;[ "$__w" ]&&{{ kill -TERM $__w;__await;}};return $__s;}}
__end(){{ __over $1;__look;__say "E$__s,${{__r:-0}},${{__v:-c}}";[ -z "$__v" ]||exit;}}
__raw(){{ [ $1 = 0 ]||__v=${{__v:-d}};__end $1;}}
__fed(){{ IFS= read -r __x&&[ "$__x" = "$__t" ]||exit
__look;__say R${{__v:-c}};[ -z "$__v" ]||exit;}}
{STAT}
__ended(){{ __stat /proc/$1||return 0;set -- ${{__l##*) }};__g=${{4:-}} __p=${{2:-0}} __b=${{20:-0}}
case ${{1:-Z}} in Z|X|x)[ ${{18:-0}} -le 1 ];return;;esac;[ $((${{7:-0}}&{_ENDED})) != 0 ];}}
__held(){{ __ended $1&&return 1;[ "$__g" = "$__sid" ]&&return
[ $__b -ge $__start ]||return 1
[ -z "$2" ]||[ $__p -gt $__0 ]||[ $__p = 1 ]||[ $__p = $$ ]||return 1
for __a in /proc/$1/fd/*;do if [ -e $__a ];then [ $__a -ef /proc/self/fd/3 ]||[ $__a -ef /proc/self/fd/4 ]
else [ -h $__a ];fi&&return;done
[ "$__a" = "/proc/$1/fd/*" ]&&! __ended $1;}}
__all(){{ for __x in /proc/[0-9]*;do __x=${{__x#/proc/}};[ $__x = $$ ]||{{ __held $__x ''&&return;}};done;return 1;}}
__new(){{ __q=$__0 __i=0
if __lapped;then {_LAST.format("__q")};__all&&return;fi
while [ $__i -lt {_ROUNDS} ];do __i=$((__i+1));{_LAST.format("__z")}
[ $__z -ne $__q ]||return 1
if [ $__z -gt $__q ]&&[ $((__z-__q)) -le {_MANY} ]
then while [ $__q -lt $__z ];do __q=$((__q+1));__held $__q "$__kin"&&return;done
else __all&&return;__q=$__z;fi;done;return 0;}}
__look(){{ [ "$__v" ]&&return
[ -w /proc/self/fd/3 ]&&[ -w /proc/self/fd/4 ]||{{ __v=d;return;}}
for __j in 1 2 3 4 5;do __v=;if [ "$__every" ];then __all;else __new;fi||return
__v=d;done;}}
__long(){{ __x=$(dd bs=$1 count=1 iflag=fullblock 2>/dev/null;echo .)&&eval "${{__x%.}}";}}
while IFS= read -r __x;do eval "$__x";done
}}
"""

SETUP = frame(_SCRIPT.encode())
"""What makes a runner of the bootstrap, before the first request."""


def fits(command: Command) -> bool:
    """Tell whether a runner takes the command: not one whose stdin has no known end, or that is very long."""
    stdin = command.stdin
    if stdin.kind == "stream" or (stdin.kind == "raw" and not stdin.exact):
        return False
    return not is_long(command) and _size(command) <= LARGEST_REQUEST


def _size(command: Command) -> int:
    words = command.argv or (*command.shell, command.text or b"")
    return sum(map(len, words)) + sum(map(len, command.env.values())) + len(command.cwd or b"")


def is_embedded(command: Command) -> bool:
    """Tell whether the command's stdin, or what stands for it, goes within its request."""
    return command.content is not None or 0 < len(command.stdin.data) <= EMBEDDED


def is_fed(command: Command) -> bool:
    """Tell whether the command's stdin, and then the token in a line, come behind its request."""
    return command.stdin.kind == "known" and not is_embedded(command)


def request(command: Command, ticket: Ticket, scripts: dict[bytes, bytes]) -> bytes:
    """Write the request that runs a command.

    ``scripts`` are the programs that this runner knows, and the variables that hold them; new ones are added.
    """
    define, run = (
        _program(command, command.argv, scripts) if command.is_program and command.argv else (b"", execution(command))
    )
    lines = [b"__in", *directory(command), b"__go", *environment(command), run]
    body = b"(" + b";".join(lines) + b")"
    watch = b"__watch " + quote(durations(command.timeout).encode()) + b";" if command.timeout is not None else b""
    kind = command.stdin.kind
    if kind == "known" and is_embedded(command):
        run = watch + b"printf %b " + _escaped(command.stdin.data) + b"|" + body + b";__end $?"
    elif kind == "known":
        run = b'{ __guard;%b;}|{ __guard;%b%b;__over $?;__say "E$__s,${__r:-0}";cat >/dev/null;}||exit;__fed' % (
            feed(command.stdin.length),
            watch,
            body,
        )
    else:
        reads = kind == "raw" and not is_embedded(command)
        run = watch + body + (b";__raw $?" if reads else b"</dev/null;__end $?")
    run = b"__begin %b %d;%b" % (ticket.token, ticket.mark, run)
    return define + (_long(run) if "__nl" in command.env else _line(run))


def _program(command: Command, argv: tuple[bytes, ...], scripts: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """Write how a runner is told a program that it does not know, and how a subshell of its runs it: no exec."""
    text, arguments = argv[2], argv[4:]
    name, define = scripts.get(text), b""
    if name is None:
        full = len(scripts) == MOST_SCRIPTS
        name = scripts.pop(next(iter(scripts))) if full else b"__script%d" % len(scripts)
        scripts[text] = name
        define = _line(b"%b=%b" % (name, quote(text)))
    words = b"".join(b" " + quote(word) for word in arguments)
    if command.content is not None:
        words += b" " + _escaped(command.content)
    return define, b'set --%b;eval "$%b"' % (words, name)


def _line(run: bytes) -> bytes:
    """Make one line of statements in which every newline is within single quotes, or announce that it is long."""
    line = run.replace(b"\n", b"'\"$__nl\"'")
    return line + b"\n" if len(line) < LONGEST_LINE else _long(run)


def _long(run: bytes) -> bytes:
    # Without a newline at its end: cut short by any byte it is no script.
    script = b"{\n%b\n}" % run
    return b"__long %d\n%b" % (len(script), script)


def _escaped(data: bytes) -> bytes:
    """Write bytes for ``printf %b``, in single quotes."""
    data = data.replace(b"\\", b"\\\\").replace(b"\0", b"\\0000").replace(b"\n", b"\\n")
    return quote(data)
