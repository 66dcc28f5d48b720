"""The programs of uploads and downloads: like :mod:`sandboxkit.fileprograms`, and with ``tar``, GNU's or busybox's.

What is unpacked comes first into a directory of mode 0700 beside its place (within it, if the target exists), and
from there by ``mv``, file by file. Directories that exist are entered by ``cd -P``, after which no symlink that
appears in them leads elsewhere.
"""

from __future__ import annotations

from sandboxkit.fileerrors import NO_TAR, NOT_ATOMIC, STOPPED
from sandboxkit.fileprograms import PARENTS, STAMP, START

_TAR = f"""\
unset TAR_OPTIONS GLOBIGNORE
command -v tar >/dev/null||die {NO_TAR}
"""

CONTENT = b"d/"
"""Below this the archive holds what is unpacked."""

COMPLETE = b"ok"
"""The archive's last entry: tar does not tell an archive that was cut between two entries from a whole one."""

# Its own mode may keep tar's user from removing what is in a directory.
_CLEAR = """\
clear(){ rm -rf "$1" 2>/dev/null||{ chmod -R u+rwx "$1";rm -rf "$1";};}
"""

# $W is the physical path of the current directory, without a slash at the end; $M the mount points below it, each
# between newlines. What is mounted there is on another file system, whatever its device number says.
_MOUNTS = r"""
N='
'
M=$N
while read -r x x x x f x;do
case $f in *\\*)o=
while case $f in *\\*);;*)false;;esac;do o=$o${f%%\\*}\\0 f=${f#*\\};done
f=$(printf %b. "$o$f");f=${f%.};;esac
case $f in "$W"/?*)M=$M$f$N;;esac
done </proc/self/mountinfo
"""

# busybox's mv refuses to replace a symlink that cannot be followed, so one that leads nowhere goes first.
_MERGE = f"""\
i=1 A=;while [ $i -le 250 ];do A="$A \\"\\${{$i}}\\"" i=$((i+1));done
lot(){{ [ $# = 1 ]&&! there "$1"&&return
while [ $# -gt 250 ];do eval "mv -f $A ."||exit 1;shift 250;done
mv -f "$@" .||exit 1;}}
enter(){{ [ -d "./$1" ]&&! [ -L "./$1" ]||die ENOTDIR
cd -P "./$1" 2>/dev/null||die EACCES
[ "$PWD" = "$W/$1" ]||die ENOTDIR
W=$PWD
case $M in *"$N$W$N"*)die {NOT_ATOMIC};;esac;}}
merge(){{ [ -r "$1" ]&&[ -w "$1" ]&&[ -x "$1" ]||chmod u+rwx "$1"||exit 1
for g in "$1"/* "$1"/.[!.]* "$1"/..?*;do n=${{g##*/}}
if [ -L "$g" ]||! [ -d "$g" ];then there "$g"||continue
[ -d "./$n" ]&&! [ -L "./$n" ]&&die EISDIR
[ -L "./$n" ]&&! [ -e "./$n" ]&&rm -f "./$n"
elif there "./$n";then (enter "$n";merge "$g")||exit $?
rmdir "$g"||exit 1
elif ! [ -w "$g" ];then chmod u+w "$g"&&mv -f "$g" .&&chmod u-w "./$n"||exit 1;fi
done
lot "$1"/*;lot "$1"/.[!.]*;lot "$1"/..?*;}}
"""

UNPACK = (
    START
    + "p=$1 t=$2 m=$3 T=$4\n"
    + _TAR
    + """\
if [ -d "$p" ];then b=;cd -P "$p" 2>/dev/null||die EACCES
else there "$p"&&die ENOTDIR
D=${p%/*}/ b=${p##*/}
"""
    + PARENTS
    + """\
cd -P "$D" 2>/dev/null||die EACCES;fi
W=${PWD%/} S=${PWD%/}/$t
"""
    + _CLEAR
    + STAMP
    + f"""\
mkdir -m 700 "$t"||exit 1
trap 'clear "$S"' EXIT
trap 'exit 1' HUP INT TERM PIPE
mkdir "$t/d"&&tar -xpof - -C "$t"||exit 1
[ -f "$t/ok" ]||exit {STOPPED}
if [ "$b" ]&&! there "./$b";then
if mv -T "$t/d" "./$b";then chmod "$m" "./$b"&&stamp "./$b" "$T"||exit 1
exit 0;fi
[ -d "./$b" ]||exit 1;fi
"""
    + _MOUNTS
    + _MERGE
    + """\
[ -z "$b" ]||enter "$b"
merge "$S/d"
"""
)
"""``path temporary mode mtime``: unpack the archive on stdin into a directory, with these where it is new."""

DISCARD_TREE = (
    START
    + _CLEAR
    + """\
clear "$1/$2"
clear "${1%/*}/$2"
"""
)
"""``path temporary``: remove what a killed :data:`UNPACK` may have left."""

PACK = (
    START
    + """\
if [ -d "$1" ];then
"""
    + _TAR
    + """\
cd "$1" 2>/dev/null&&[ -r . ]||die EACCES
printf d
exec tar -cf - .;fi
[ -f "$1" ]||{ stat -L "$1" >/dev/null||exit 1;die EINVAL;}
s=$(stat -L -c '%a %Y %s' "$1")||exit 1
{ printf 'f%s\\n' "$s";exec cat;} <"$1"
cat "$1" >/dev/null&&die EIO;exit 1
"""
)
"""``path``: ``d`` and an archive of a directory, or ``f``, its octal mode, mtime, size, newline, and its bytes."""
