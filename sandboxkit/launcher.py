"""The launcher: what the sandbox's own ``/bin/sh`` is told, so that a poor byte channel runs commands exactly.

Pure text in, bytes out. A channel is opened to :data:`BOOTSTRAP`, which reads ``<length>\\n<script>`` from its
stdin and evaluates it, leaving the rest of stdin untouched. So nothing of the command is in a process argument of
the launcher, and no length limit of a backend is met. A script is one ``{ … }``: cut short it is a syntax error
and runs nothing.

The script marks the command's tree with a random number as soft ``RLIMIT_LOCKS``, which Linux has not enforced
since 2.4 and which survives ``setsid``, double forks, ``exec`` and ``env -i``. ``mark`` is on the launcher's own
processes, ``mark + 1`` on the command's. To kill is to kill, until ten scans in a row find none, whatever carries
``mark + 1`` or is in the launcher's session without carrying ``mark``: see :mod:`sandboxkit.scan`.

Records that the launcher writes on stdout and stderr begin with a random token that is never in an argument or in
the environment: see :mod:`sandboxkit.records`.
"""

from __future__ import annotations

import math
import secrets

import attrs

from sandboxkit.model import Command, TerminalSize
from sandboxkit.scan import KILL_SECONDS, SCAN, STAT

_EVALUATE = '__s=$(dd bs="$__n" count=1 iflag=fullblock 2>/dev/null;echo .)&&eval "${__s%.}"'

BOOTSTRAP = ("/bin/sh", "-c", f"IFS= read -r __n&&{_EVALUATE}")
"""The argv of every channel: it does nothing without its script, so opening it may be repeated."""

READY = b"\x1e"
"""What the bootstrap of a terminal says when the terminal is raw."""

TERMINAL_BOOTSTRAP = (
    "/bin/sh",
    "-c",
    "__g=$(stty -g)&&stty raw -echo min 0 time 100&&printf '\\036'&&"
    f"__n=$(dd bs=8 count=1 iflag=fullblock 2>/dev/null)&&{_EVALUATE}",
)
"""The argv of a channel that is a terminal; it reads ``<length in 8 digits><script>``.

bash reads terminals by more than a line, so ``read`` would take of the script. ``time``: after 10 s without a byte
of it the script is taken to end, since that of a client that died never does.
"""

BLOCK = 65536
"""Bytes that ``dd`` moves at once."""

_TEXT_IN_ARGUMENT = 100_000
"""A longer command text reaches its shell through a pipe: one argument holds at most 131,071 bytes."""

SET_MARK = "__k(){ ulimit -S -x $1 2>/dev/null||ulimit -S -w $1; }"

# A signal with a trap ends a wait before its process has ended.
AWAIT = "__await(){ while wait $__w;__r=$?;[ $__r -gt 128 ]&&kill -0 $__w;do :;done;}"

TRAPS = b"trap : HUP INT QUIT TERM USR1 USR2 ALRM PIPE\n"
"""So that a command that signals its group does not end its launcher; a handler, as children inherit a disregard."""


def quote(value: bytes) -> bytes:
    """Quote bytes for a POSIX shell; every byte but NUL survives."""
    return b"'" + value.replace(b"'", b"'\\''") + b"'"


@attrs.frozen(repr=False)
class Ticket:
    """What tells one launched command from all others: its token (a secret) and its mark."""

    # "K" is no hex digit: a token that cannot overlap itself is found at one place only.
    token: bytes = attrs.field(factory=lambda: b"K" + secrets.token_hex(16).encode())
    mark: int = attrs.field(factory=lambda: 2 * (secrets.randbits(46) + 2**20))


@attrs.frozen
class Place:
    """Where a launched command runs, as its start record says: process id, and the launcher's session and start."""

    pid: bytes
    session: bytes
    start: bytes


def frame(script: bytes) -> bytes:
    """Make a script into what the bootstrap reads."""
    return b"%d\n%b" % (len(script), script)


def terminal_frame(script: bytes) -> bytes:
    """Make a script into what the bootstrap of a terminal reads."""
    return b"%08d%b" % (len(script), script)


NO_SCRIPT = terminal_frame(b"")
"""What a terminal that was opened in vain is sent: its process waits for a script, and sees no end of input."""


def durations(seconds: float) -> str:
    """Split a duration into what ``sleep`` takes: whole seconds and a fraction, which old busyboxes refuse."""
    whole = math.floor(seconds)
    fraction = seconds - whole
    return f"{whole}" + (f" {fraction:.3f}" if fraction >= 0.001 else "")


WATCHDOG = (
    "trap 'kill -9 $!;exit' TERM;M=$1 S=$2 B=$3 A=;" + SCAN + "\n"
    "for __d in $4;do sleep $__d&wait $!||{ sleep 1&wait $!;};done;trap '' TERM;"
    f"__kill {KILL_SECONDS};exit $?"
)
"""``mark session start durations``: ends a command's tree when its time is over.

Its exit status, 3 or 4, says that it fired and whether the tree is gone; anything else that it was told to stop.
SIGKILL for the sleep, since a child that was forked a moment ago may lose any other to its parent's handler.
"""


def _watchdog(timeout: float) -> bytes:
    # A session of its own, so that a command that signals its group does not hit it.
    return (
        b"setsid /bin/sh -c "
        + quote(WATCHDOG.encode())
        + b" sh $__m $__sid $__start "
        + quote(durations(timeout).encode())
        + b" 3>&- 4>&- 5<&- 6>&- 7>&-&\n__w=$!\n"
    )


def directory(command: Command) -> list[bytes]:
    """Write, statement by statement, how a shell enters the command's directory, or says why it cannot."""
    if command.cwd is None:
        return []
    path = command.cwd if command.cwd.startswith(b"/") else b"./" + command.cwd
    return [
        b'__d=%b;cd "$__d"||{ [ -d "$__d" ]&&__e=13||{ [ -e "$__d" ]&&__e=20||__e=2;};'
        b'printf "%%s" "$__t:W$__e;" >&3;exit 1;}' % quote(path)
    ]


_SHELLS_OWN = frozenset(
    (
        *("_", "UID", "EUID", "PPID", "GROUPS", "OPTIND", "SHELLOPTS", "RANDOM", "SRANDOM", "SECONDS", "LINENO"),
        *("DIRSTACK", "FUNCNAME", "HISTCMD", "PIPESTATUS", "EPOCHSECONDS", "EPOCHREALTIME", "BASHOPTS", "BASHPID"),
        *("BASH_ARGC", "BASH_ARGV", "BASH_ARGV0", "BASH_COMMAND", "BASH_LINENO", "BASH_SOURCE", "BASH_SUBSHELL"),
        "BASH_VERSINFO",
    )
)
"""Variables that some shell refuses to set, or does not pass on as they were set: ``env`` sets them."""


def environment(command: Command) -> list[bytes]:
    """Write, statement by statement, how a shell takes the command's environment.

    Nothing of the launcher's may come after them but the execution: a variable may be called like one of its own.
    """
    return [
        b"export %b=%b" % (name.encode(), quote(value))
        for name, value in command.env.items()
        if name not in _SHELLS_OWN
    ]


def is_long(command: Command) -> bool:
    """Tell whether a command's text is too long for an argument."""
    return command.argv is None and len(command.text or b"") > _TEXT_IN_ARGUMENT


def execution(command: Command) -> bytes:
    """Write how a shell becomes the command; a text that is too long for an argument is read from fd 9."""
    if command.argv is not None:
        argv = command.argv
    elif not is_long(command):
        argv = (*command.shell, command.text or b"")
    else:
        # The shell that the user chose reads the text itself, so that $$ and $PPID are what they would be.
        argv = (*command.shell, b'__s=$(cat <&9;echo .);exec 9<&-;eval "unset __s;${__s%.}"')
    words = b" ".join(quote(word) for word in argv)
    # dash runs "--" as a program, bash takes a name that begins with a dash as an option: only env is right.
    own = b"".join(
        b"%b=%b " % (name.encode(), quote(value)) for name, value in command.env.items() if name in _SHELLS_OWN
    )
    via = b"env -- " + own if own or argv[0].startswith(b"-") else b""
    return b'set -- %b;exec %b"$@"' % (words, via)


def _subshell(command: Command) -> bytes:
    """The command in a subshell that becomes it; the start record goes out just before."""
    long_text = is_long(command)
    source = {"none": b"</dev/null", "raw": b"<&5"}.get(command.stdin.kind, b"")
    body = (
        b"(__k $((__m+1))\nread -r __l </proc/self/stat\n"
        + b"".join(line + b"\n" for line in directory(command))
        + b'printf "%s" "$__t:P${__l%% *},$__sid,$__start;" >&3\nexec 3>&- 4>&- 5<&- 8<&- 2>&7 7>&- >&6 6>&-\n'
        + b"".join(line + b"\n" for line in environment(command))
        + execution(command)
        + b")"
    )
    if long_text:
        # fd 8 keeps the command's stdin past the pipe that brings the text on fd 9.
        text = quote(command.text or b"")
        inner = body.replace(b"(__k", b"(exec 9<&0 <&8\n__k", 1)
        return b"{ printf %s " + text + b"|" + inner + b";} 8" + (source or b"<&0")
    return body + source


def feed(length: int) -> bytes:
    """Write what passes on exactly so many bytes of stdin."""
    count, rest = divmod(length, BLOCK)
    parts = []
    if count:
        parts.append(b"dd bs=%d count=%d iflag=fullblock" % (BLOCK, count))
    if rest:
        parts.append(b"dd bs=%d count=1 iflag=fullblock" % rest)
    return b";".join(parts or [b":"])


_PUMP = b'while IFS= read -r __n&&[ "$__n" -gt 0 ];do dd bs="$__n" count=1 iflag=fullblock||break;done'


# Before the record the terminal is raw again: a program may have left it stopped, or translating.
_TERMINAL_END = b"trap '' TTIN TTOU;stty raw <&5;"


def _own_terminal(size: TerminalSize) -> bytes:
    # As it was before the bootstrap, of this size, and editing UTF-8. Records go out once.
    return (
        b'stty "$__g" rows %d cols %d <&5;stty iutf8 <&5;unset __g\n' % (size.rows, size.columns)
        + b"command exec 3>/proc/self/fd/6||exec 3>&6\nexec 4>/dev/null\n"
    )


# Descriptors of the launcher's own: a command may leave O_NONBLOCK on the ones that it shares.
_OWN_PIPES = (
    b"[ -p /proc/self/fd/6 ]&&command exec 3>/proc/self/fd/6||exec 3>&6\n"
    b"[ -p /proc/self/fd/7 ]&&command exec 4>/proc/self/fd/7||exec 4>&7\n"
)


def command_script(command: Command, ticket: Ticket, size: TerminalSize | None = None) -> bytes:
    """Write the script that runs a command and reports on it; with a size its channel is a terminal."""
    # The watchdog is forked before traps are set: between a fork and the child's reset of its handlers a signal would
    # be noted for a trap that is about to go, and lost.
    watch = _watchdog(command.timeout) if command.timeout is not None else b""
    run = watch + TRAPS + _subshell(command) + b"\n__f $?"
    if command.stdin.kind in ("known", "stream"):
        pump = feed(command.stdin.length) if command.stdin.kind == "known" else _PUMP
        run = TRAPS + b"{ " + pump + b";} <&5|{ " + run + b"\n}"
    return b"".join(
        (
            b"{\n__t=%b __m=%d __w= __r=\n" % (ticket.token, ticket.mark),
            b"exec 5<&0 6>&1 7>&2 </dev/null >/dev/null 2>&1\n",
            _OWN_PIPES if size is None else _own_terminal(size),
            SET_MARK.encode() + b"\n__k $__m\n" + AWAIT.encode() + b"\n",
            b"read -r __l </proc/self/stat;set -- ${__l##*) }\n__sid=$4 __start=${20}\n",
            b'[ "$__sid" = $$ ]||__sid=x\n',
            # The watchdog's status is its report, so it is waited for; then both streams get the record.
            b'__f(){ __s=$1;[ "$__w" ]&&{ kill -TERM $__w;__await;}\n',
            b"" if size is None else _TERMINAL_END,
            b'printf "%s" "$__t:E$__s,${__r:-0};" >&3;printf "%s" "$__t:E$__s,${__r:-0};" >&4; }\n',
            run,
            # Without a newline: cut short by any byte it is no script.
            b"\n}",
        )
    )


def kill_script(ticket: Ticket, place: Place | None, *, everything: bool, report: Ticket) -> bytes:
    """Write the script that ends a command's tree, from another channel; its exit code is 3 (gone) or 4.

    ``place`` is where the launcher said it runs; ``everything`` ends the launcher too, for one that never said.
    """
    session, start = (place.session, place.start) if place is not None else (b"x", b"0")
    return (
        b"{\nexec 3>&1 >/dev/null 2>&1 </dev/null\nM=%d S=%b B=%b A=%b\n%b\n__kill %d\n"
        b'printf "%%s" "%b:E$?,0;" >&3\n}\n'
        % (
            ticket.mark,
            session,
            start,
            b"1" if everything else b"",
            SCAN.encode(),
            KILL_SECONDS,
            report.token,
        )
    )


def hang_up_script(ticket: Ticket) -> bytes:
    """Write the script of the watcher: at the end of its input it does what the kernel does when a terminal hangs up.

    The launcher is the one that leads a session and carries the mark, commands carry the next one; SIGHUP and SIGCONT
    go to its child, the command, and to the terminal's foreground. Where the backend has closed the terminal by then
    there is no foreground left to be found. If the launcher has ended, nothing is done.
    """
    return (
        b"{\n%b\n__s=;exec >/dev/null 2>&1;while read -r __x;do :;done;cd /proc||exit\n"
        b"for __p in [0-9]*;do __stat $__p||continue;set -- ${__l##*) }\n"
        b'[ "$4" = $__p ]||continue;__g=$6 __v=\n'
        b'while read -r __a __b __c __soft __e;do [ "$__a$__b$__c" = Maxfilelocks ]&&__v=$__soft;done <$__p/limits\n'
        b'[ "$__v" = %d ]&&{ __s=$__p;break;};done\n[ "$__s" ]||exit 0\n'
        b'[ "$__g" -gt 1 ]&&{ kill -HUP -$__g;kill -CONT -$__g;}\n'
        b"for __p in [0-9]*;do __stat $__p||continue;set -- ${__l##*) }\n"
        b'[ "$2" = $__s ]&&{ kill -HUP $__p;kill -CONT $__p;};done\n}\n' % (STAT.encode(), ticket.mark)
    )


def signal_script(ticket: Ticket, place: Place, number: int, report: Ticket) -> bytes:
    """Write the script that signals the command's own process, if that is still it (by mark or session)."""
    return (
        b"{\n%b\nexec 3>&1 >/dev/null 2>&1 </dev/null\ncd /proc/%b&&{ __stat .;set -- ${__l##*) }\n"
        b'while read -r __a __b __c __v __e;do [ "$__a$__b$__c" = Maxfilelocks ]&&break;done <limits\n'
        b'[ "$__v" = %d ]||[ "$4" = %b ]&&kill -%d %b;}\nprintf "%%s" "%b:E0,0;" >&3\n}\n'
        % (STAT.encode(), place.pid, ticket.mark + 1, place.session, number, place.pid, report.token)
    )
