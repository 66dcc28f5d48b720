"""Planted bugs in uploads and downloads: F6."""

from __future__ import annotations

from typing import Any

import attrs

from tests.mutations.planting import breaks, replace


@breaks("F6", "test_a_directory_goes_there_and_back")
def modes_are_not_kept() -> None:
    from sandboxkit import localsource

    replace(localsource, "MODE", lambda _: 0o644)


@breaks("F6", "test_a_directory_goes_there_and_back")
def set_id_bits_are_kept() -> None:
    from sandboxkit import localsource

    replace(localsource, "MODE", lambda _: 0o7777)


@breaks("F6", "test_what_the_sandbox_made_is_downloaded_whole")
def specials_are_not_told() -> None:
    from sandboxkit.localtree import StagedTree

    replace(StagedTree, "_skip", lambda _: lambda self, path: None)


@breaks("F6", "test_what_the_sandbox_made_is_downloaded_whole")
def hard_links_stay_links() -> None:
    from sandboxkit import localtree

    def refuse(original: Any) -> Any:
        def opened(name: str, parent: int, flags: int = localtree.DIRECTORY) -> Any:
            if flags == localtree._OLD_FILE:
                raise PermissionError(name)
            return original(name, parent, flags)

        return opened

    replace(localtree, "opened", refuse)


@breaks("F6", "test_a_directory_that_exists_is_filled")
def a_directory_that_exists_is_replaced() -> None:
    from sandboxkit import transfer

    place = 'if [ -d "$p" ];then b='
    replace(transfer, "UNPACK", lambda text: text.replace(place, f'rm -rf "$p";{place}'))


@breaks("F6", "test_a_file_gets_the_name_it_is_told")
def times_are_not_kept() -> None:
    from sandboxkit import transfer

    def make(original: Any) -> Any:
        return lambda *args, mtime, **options: original(*args, mtime=None, **options)

    replace(transfer, "ShellWriter", make)


@breaks("F6", "test_a_file_gets_the_name_it_is_told")
def no_time_is_before_1970() -> None:
    from sandboxkit import localsource

    replace(localsource, "seconds", lambda original: lambda found: max(0, original(found)))


@breaks("F6", "test_what_tells_no_size_arrives")
def a_told_size_is_believed() -> None:
    from sandboxkit import localsource

    replace(localsource, "_begin", lambda _: lambda fd, told: (b"", told))


@breaks("F6", "test_nothing_is_written_through_what_is_planted")
def a_planted_symlink_is_followed() -> None:
    from sandboxkit import transfer

    replace(
        transfer,
        "UNPACK",
        lambda text: text.replace('[ -d "./$1" ]&&! [ -L "./$1" ]||die ENOTDIR\n', "").replace(
            '[ "$PWD" = "$W/$1" ]||die ENOTDIR\n', ""
        ),
    )


@breaks("F6", "test_nothing_is_written_through_what_is_planted")
def a_planted_symlink_is_followed_on_this_side() -> None:
    import os

    from sandboxkit import localtree

    def make(original: Any) -> Any:
        return lambda name, parent, flags=localtree.DIRECTORY: original(name, parent, flags & ~os.O_NOFOLLOW)

    replace(localtree, "opened", make)


@breaks("F6", "test_an_archive_that_points_outside_is_refused")
def names_may_lead_up() -> None:
    import os

    from sandboxkit import localtree

    def make(_: Any) -> Any:
        return lambda name: tuple(part for part in os.fsdecode(name).split("/") if part not in ("", "."))

    replace(localtree, "components", make)


@breaks("F6", "test_an_archive_that_points_outside_is_refused")
def an_archives_symlink_is_followed() -> None:
    import os

    from sandboxkit import localtree

    replace(localtree, "DIRECTORY", lambda flags: flags & ~os.O_NOFOLLOW)


@breaks("F6", "test_nobody_sees_half_a_file_of_a_directory")
def files_are_unpacked_in_place() -> None:
    from sandboxkit import transfer

    place = 'mkdir -m 700 "$t"'
    inline = 'if [ -z "$b" ];then tar -xpof - ;cp -R d/. .;rm -rf d ok;exit 0;fi\n'
    replace(transfer, "UNPACK", lambda text: text.replace(place, inline + place))


@breaks("F6", "test_an_interrupted_transfer_changes_nothing")
def an_interrupted_upload_leaves_its_files() -> None:
    from sandboxkit import transfer

    replace(transfer, "DISCARD_TREE", lambda _: "exit 0")


@breaks("F6", "test_an_interrupted_transfer_changes_nothing")
def an_interrupted_download_leaves_its_files() -> None:
    from sandboxkit import localtarget

    replace(localtarget, "remove", lambda _: lambda name, parent: None)


@breaks("F6", "test_a_client_killed_in_an_upload_leaves_nothing")
def what_a_dead_client_sent_is_unpacked() -> None:
    from sandboxkit import transfer

    replace(
        transfer,
        "UNPACK",
        lambda text: text.replace('tar -xpof - -C "$t"||exit 1', 'tar -xpof - -C "$t"').replace(
            '[ -f "$t/ok" ]||exit 98', ""
        ),
    )


@breaks("F6", "test_a_directory_goes_there_and_back")
def symlinks_are_followed() -> None:
    from sandboxkit import archive, localsource

    def make(_: Any) -> Any:
        def symlink(self: Any, parent: int, entry: str, name: bytes) -> bytes:
            return archive.header(archive.Entry(name=self._prefix + name, kind="file"))

        return symlink

    replace(localsource.TreeSource, "_symlink", make)


@breaks("F6", "test_a_directory_goes_there_and_back")
def bytes_are_counted_twice() -> None:
    from sandboxkit.localsource import Tally

    def make(original: Any) -> Any:
        return lambda self, **rest: attrs.evolve(original(self, **rest), bytes=self.bytes * 2)

    replace(Tally, "result", make)
