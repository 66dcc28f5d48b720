"""The file programs: small POSIX sh texts that the sandbox's own ``/bin/sh`` runs, one for each operation.

They need a shell and ``dd``, ``cat``, ``stat -c``, ``readlink``, ``mv -T``, ``cp``, ``mkdir``, ``rm``, ``rmdir`` and
``chmod``: coreutils or busybox (1.32 or newer for a range of a file), no ``find``, no writable directory but the
one that is written. They travel with every call, so they are terse; what they rely on:

- Arguments come as ``$1``, ``$2``…; paths begin with ``/``, ``./`` or ``../``, see
  :func:`sandboxkit.paths.tool_argument`.
- A tool's complaint ends in the C library's words, a shell redirection's does not; so where a redirection fails, a
  tool is asked to fail the same way. ``command exec`` keeps a failed redirection from ending the shell.
- ``head -c`` takes more than it gives in busybox, ``dd`` without ``fullblock`` less; ``dd``'s count of whole records
  tells whether all of a frame arrived.
- ``$(…;echo .)`` keeps newlines at the end of a name.
"""

from __future__ import annotations

from sandboxkit.fileerrors import NOT_ATOMIC, SOURCE, STOPPED, TOLD

START = f"""\
export LC_ALL=C
die(){{ printf 'sandboxkit:%s\\n' "$1" >&2;exit {TOLD};}}
there(){{ [ -e "$1" ]||[ -L "$1" ];}}
"""

# Follow the symlinks of $p as the kernel would, also to a file that is not there yet; then $D is its directory.
_RESOLVE = """\
i=0
while [ -L "$p" ];do l=$(readlink "$p";echo .);l=${l%?.}
case $l in /*)p=$l;;*)p=${p%/*}/$l;;esac
i=$((i+1));[ $i -le 40 ]||die ELOOP;done
case $p in */)die EISDIR;;esac
"""

# Make the directory $D. mkdir -p says "File exists" of a file in the way.
PARENTS = """\
[ -d "$D" ]||mkdir -p "$D"||{ d=${D%/}
while [ "$d" ];do [ -e "$d" ]&&! [ -d "$d" ]&&die ENOTDIR;case $d in */*)d=${d%/*};;*)break;;esac;done;exit 1;}
"""

# take N: exactly so many bytes from stdin go to fd 3, or the program ends.
TAKE = f"""\
blocks(){{ r=$(dd bs=$1 count=$2 iflag=fullblock 2>&1 >&3)||{{ printf '%s\\n' "$r" >&2;exit 1;}}
case $r in "$2+0 "*);;*)exit {STOPPED};;esac;}}
take(){{ if [ $1 -le 1048576 ];then blocks $1 1;else blocks 65536 $(($1/65536));r=$(($1%65536))
[ $r = 0 ]||blocks $r 1;fi;}}
"""

# busybox takes -1, the last second before 1970, for no time at all; 0 is the nearest.
STAMP = """\
stamp(){ touch -d "@$2" "$1"||{ [ "$2" = -1 ]&&touch -d @0 "$1";};}
"""

# Frames on stdin, "<n>\n<n bytes>", go to fd 3; "0\n" commits, anything else or the end of input does not. Where all
# of it came along ($W says so, then it is $B) no process is needed, but for a failure, which a tool is to tell of.
_FRAMES = (
    TAKE
    + f"""\
if [ "$W" ];then printf %b "$B" >&3||printf %b "$B"|cat >&3||exit 1
else printf +
while :;do IFS= read -r n||exit {STOPPED}
case $n in 0)break;;''|*[!0-9]*)exit {STOPPED};;esac
take $n;done;fi
exec 3>&-
"""
)

# Whether the file $p could be written although its directory, or a rename onto it, refuses.
_WRITABLE = """\
writable(){ [ -f "$p" ]&&{ :;} >>"$p";} 2>/dev/null
"""

# A temporary file beside the target becomes it by rename. Its owner, group and mode follow the file that it
# replaces; where the owner cannot be kept, set-uid and set-gid bits are not either. A signal leaves nothing behind
# (SIGPIPE: the client is gone, and nobody reads that the file is open).
WRITE = (
    START
    + 'p=$1 t=$2 m=$3 T=$4 W=${5+1} B=$5\n[ -d "$p" ]&&die EISDIR\n'
    + _RESOLVE
    + "D=${p%/*}/\n"
    + PARENTS
    + _WRITABLE
    + f"""\
[ -e "$p" ]&&! [ -f "$p" ]&&die {NOT_ATOMIC}
t=$D$t
if [ "$m" ]||[ -e "$p" ];then umask 077;fi
set -C
command exec 3>"$t"||{{ e=$(mkdir "$t" 2>&1)&&{{ rmdir "$t";die EIO;}}
case $e in *'o space left'*|*uota\\ exceeded*|*ame\\ too\\ long*);;*)writable&&die {NOT_ATOMIC};;esac
printf '%s\\n' "$e" >&2;exit 1;}}
set +C
trap 'rm -f "$t"' EXIT
trap 'exit 1' HUP INT TERM PIPE
"""
    + _FRAMES
    + STAMP
    + f"""\
k=
if [ -e "$p" ];then set -- $(stat -c '%a %u %g' "$t" "$p")
[ "$2 $3" = "$5 $6" ]||chown "$5:$6" "$t" 2>/dev/null||{{ chown ":$6" "$t" 2>/dev/null;k=$m.;}}
m=${{m:-$4}};[ "$m" != "$1" ]||m=;fi
[ -z "$m" ]||chmod "$m" "$t"||exit 1
[ "$k" != . ]||chmod ug-s "$t"||exit 1
[ -z "$T" ]||stamp "$t" "$T"||exit 1
mv -f -T "$t" "$p"||{{ writable&&die {NOT_ATOMIC};exit 1;}}
trap - EXIT
"""
)
"""``path temporary mode|'' mtime|'' [content]``: write atomically what comes in frames, making parents.

Symlinks are followed. A ``content``, for ``printf %b``, takes the frames' place.
"""

# The fd stays on whatever the path named when it was opened: a device, a FIFO, a mounted file.
WRITE_IN_PLACE = (
    START
    + 'p=$1 m=$2 W=${4+1} B=$4\n[ -d "$p" ]&&die EISDIR\nD=${p%/*}/\n'
    + PARENTS
    + """\
[ -z "$m" ]||umask 077
if [ "$3" ];then command exec 3>>"$p";else command exec 3>"$p";fi||{ dd if=/dev/null of="$p" conv=notrunc;exit 1;}
"""
    + _FRAMES
    + '[ -z "$m" ]||chmod "$m" "$p"||exit 1\n'
)
"""``path mode|'' append|''``: write or append in place what comes in frames, or ``content``, making parents."""

DISCARD = START + "p=$1 t=$2\n" + _RESOLVE + 'rm -f "${p%/*}/$t"\n'
"""``path temporary``: remove what a killed :data:`WRITE` may have left."""

# No file system has a file that reaches an offset to which dd cannot seek, and a read must end before 2^63.
READ = (
    START
    + """\
p=$1 o=$2 n=$3 m=$4
[ -d "$p" ]&&die EISDIR
fits(){ [ -f "$p" ]||return 0;s=$(stat -L -c %s "$p")||exit 1
s=$((s-o));[ "$n" ]&&[ $n -lt $s ]&&s=$n;[ $s -gt $m ]&&die EFBIG;return 0;}
beyond(){ [ ${#o} -gt 9 ]&&[ -f "$p" ]||return
[ $o -gt 9223372036854710271 ]||! dd count=0 iflag=skip_bytes skip=$o <"$p" 2>/dev/null;}
w=;[ "$m" ]&&if [ "$n" ]||[ $o != 0 ]||[ $m -lt 65536 ];then fits;else w=1;fi
exec 3>&1
{ printf +
if [ "$w" ];then r=$(dd bs=65536 count=1 iflag=fullblock 2>&1 >&3)||{ printf '%s\n' "$r" >&2;exit 1;}
case $r in "1+0 "*);;*)exit 0;;esac
fits;exec cat
elif beyond;then :
elif [ "$n" ];then exec dd bs=65536 iflag=skip_bytes,count_bytes,fullblock skip=$o count=$n
elif [ $o != 0 ];then exec dd bs=65536 iflag=skip_bytes skip=$o;else exec cat;fi;exit 0;} <"$p"
cat "$p" >/dev/null&&die EIO;exit 1
"""
)
"""``path offset length|'' limit|''``: ``+``, then the bytes; ``EFBIG`` if they are known to be too many.

Of a whole file the first 64 KiB are sent without asking for its size: a small one costs one process.
"""

_STAT = "stat -c '%f %s %Y %u %g"

STAT = START + f'p=$1\n{_STAT}\' $2 "$p"||exit 1\n[ "$2" ]||! [ -L "$p" ]||readlink -n "$p"\n'
"""``path -L|''``: a line of mode (hexadecimal), size, mtime, uid, gid; then, to the end, a symlink's target."""

# Names are shown in lots of 2,000, which stay below the kernel's limit for arguments. Each lot: the lines of stat
# with the names (no name holds a "/", so ./ tells where one begins), NUL, the symlinks' names, NUL after each, NUL,
# as many targets with NUL after each. A name that vanished meanwhile is only a complaint of stat's.
LIST = (
    START
    + f"""\
p=$1
[ -d "$p" ]||{{ stat -L "$p" >/dev/null||exit 1;die ENOTDIR;}}
cd "$p" 2>/dev/null&&[ -r . ]||die EACCES
lot(){{ {_STAT} %n' "$@" 2>/dev/null||{{ r=$?;[ $r = 1 ]||exit $r;}}
printf '\\0';i=1 a=
for f do [ -L "$f" ]&&a="$a \\"\\${{$i}}\\"";i=$((i+1));done
eval "links $a";}}
links(){{ [ $# = 0 ]||printf '%s\\0' "$@";printf '\\0';[ $# = 0 ]&&return
if readlink -z "$@" >/dev/null 2>&1;then readlink -z "$@"
else for f do readlink -n "$f";printf '\\0';done;fi;}}
i=1 A=;while [ $i -le 2000 ];do A="$A \\"\\${{$i}}\\"" i=$((i+1));done
for g in './*' './.[!.]*' './..?*';do set -- $g
[ $# = 1 ]&&! there "$1"&&continue
while [ $# -gt 2000 ];do eval "lot $A";shift 2000;done
lot "$@";done
exit 0
"""
)
"""``path``: what is in a directory."""

MKDIR = (
    START
    + """\
p=$1 m=$2
if there "$p";then [ "$4" ]&&[ -d "$p" ]&&exit 0;die EEXIST;fi
D=${p%/*}/
"""
    + f'if [ "$3" ];then {PARENTS.rstrip()};fi\n'
    + """\
mkdir ${m:+-m "$m"} "$p"||{ [ "$4" ]&&[ -d "$p" ]&&exit 0;exit 1;}
"""
)
"""``path mode|'' parents|'' exist_ok|''``: make a directory; without ``exist_ok`` only one caller succeeds."""

REMOVE = (
    START
    + """\
p=$1
there "$p"||{ stat "$p" >/dev/null;exit 1;}
if [ -L "$p" ]||! [ -d "$p" ];then exec rm -f "$p";elif [ "$2" ];then exec rm -rf "$p";else exec rmdir "$p";fi
"""
)
"""``path recursive|''``: remove a file, a symlink, an empty directory or, recursive, a whole one."""

# Both paths of a copy or move, checked: $s there, $t neither a directory nor, without $3, there at all. A symlink
# to a directory is one too: busybox's mv -T does not replace it.
_PAIR = f"""\
s=$1 t=$2
there "$s"||{{ stat "$s" >/dev/null;exit {SOURCE};}}
if [ -d "$t" ];then [ -d "$s" ]&&! [ -L "$s" ]&&die EEXIST;die EISDIR;fi
there "$t"&&{{ [ "$3" ]||die EEXIST;[ -d "$s" ]&&! [ -L "$s" ]&&die EEXIST;}}
D=${{t%/*}}/
[ -d "$D" ]||{{ stat "$D" >/dev/null&&die ENOTDIR;exit 1;}}
inside(){{ a=$(cd -P "$s"&&pwd -P;echo .);b=$(cd -P "$D"&&pwd -P;echo .);a=${{a%??}}/ b=${{b%??}}/
case $b in "$a"*)die EINVAL:source;;esac;}}
"""

# Rename $1 to $t; where nothing may be overwritten, what is still there afterwards was not renamed.
_COMMIT = """\
commit(){ if [ "$o" ];then mv -f -T "$1" "$t"||exit 1;else mv -n -T "$1" "$t"||{ there "$t"&&die EEXIST;exit 1;}
there "$1"&&die EEXIST;fi;return 0;}
"""

MOVE = (
    START
    + '[ "$1" = "$2" ]&&there "$1"&&exit 0\n'
    + _PAIR
    + _COMMIT
    + f"""\
o=$3
[ -d "$s" ]&&! [ -L "$s" ]&&inside
set -- "$4" $(stat -c %d "$s" "$D")
if [ "$2" = "$3" ];then commit "$s";exit 0;fi
x=$D$1
trap 'rm -rf "$x"' EXIT
trap 'exit 1' HUP INT TERM
cp -a "$s" "$x"||exit 1
commit "$x"
trap - EXIT
rm -rf "$s"||exit {SOURCE}
"""
)
"""``source target overwrite|'' temporary``: move; across file systems a copy becomes the target by rename."""

COPY = (
    START
    + 'p=$2\nif [ "$3" ];then\n'
    + _RESOLVE
    + 'fi\nset -- "$1" "$p" "$3" "$4" "$5"\n'
    + _PAIR
    + _COMMIT
    + f"""\
o=$3 r=
if [ -d "$s" ];then [ "$5" ]||die EISDIR:source
there "$t"&&die EEXIST
inside;r=1
else [ -e "$s" ]||{{ stat -L "$s" >/dev/null;exit {SOURCE};}};[ -f "$s" ]||die EINVAL:source
[ -r "$s" ]||die EACCES:source
[ -e "$t" ]&&! [ -f "$t" ]&&die {NOT_ATOMIC}
fi
x=$D$4
trap 'rm -rf "$x"' EXIT
trap 'exit 1' HUP INT TERM
cp ${{r:+-RH}} -p "$s" "$x"||exit 1
commit "$x"
trap - EXIT
"""
)
"""``source target overwrite|'' temporary recursive|''``: copy a file or a tree, with modes and times."""

DISCARD_COPY = START + "p=$1 t=$2\n" + _RESOLVE + 'rm -rf "${p%/*}/$t"\n'
"""``target temporary``: remove what a killed :data:`MOVE` or :data:`COPY` may have left."""

# walk PREFIX COMPONENT…: "=name" is taken as it is, "*" stands for any name, "**" for all that is below, without
# following symlinks: what comes after it is left to the client, and so is the matching proper, so that a pattern
# means the same on every image. find is quicker than the shell where it is there.
GLOB = (
    START
    + """\
unset GLOBIGNORE
list(){ [ $# = 1 ]&&! there "$1"||printf '%s\\0' "$@";}
next(){ q=$1;shift 3;walk "$q" "$@";}
tree(){ case $1 in /*|./*|../*)q=$1;;*)q=./$1;;esac
if find . -prune -print0 >/dev/null 2>&1;then find "$q" ${T:+-type d} -print0 2>/dev/null||[ $? = 1 ]||exit 1
else dump "$q";fi;}
dump(){ for f in "$1"* "$1".[!.]* "$1"..?*;do
if [ -d "$f" ]&&! [ -L "$f" ];then printf '%s\\0' "$f";dump "$f/"
elif [ -z "$T" ]&&there "$f";then printf '%s\\0' "$f";fi;done;}
walk(){ case $2 in
\\*\\*)tree "$1";;
=*)there "$1${2#=}"||return 0
if [ $# = 2 ];then list "$1${2#=}";elif [ -d "$1${2#=}" ];then next "$1${2#=}/" "$@";fi;;
*)if [ $# = 2 ];then list "$1"*;list "$1".[!.]*;list "$1"..?*
else for f in "$1"* "$1".[!.]* "$1"..?*;do [ -d "$f" ]&&next "$f/" "$@";done;fi;;
esac;}
T=$1;shift
walk "$@"
exit 0
"""
)
"""``1|'' prefix component…``: every path that may match, NUL after each; with 1, below ``**`` only directories."""
