"""Planted bugs in files: F1 to F5, F7."""

from __future__ import annotations

from typing import Any

import attrs

from tests.mutations.planting import breaks, replace


@breaks("F1", "test_bytes_come_back_as_they_were_written")
def line_ends_are_translated() -> None:
    from sandboxkit import files

    replace(files, "_bytes", lambda original: lambda data: bytes(original(data)).replace(b"\r\n", b"\n"))


@breaks("F1", "test_reading_has_a_limit")
def a_limit_is_ignored() -> None:
    from sandboxkit.shellfiles import ShellFiles

    def make(original: Any) -> Any:
        async def read(self: Any, path: bytes, *, offset: int, length: int | None, limit: int) -> bytes:
            data: bytes = await original(self, path, offset=offset, length=length, limit=1 << 20)
            return data

        return read

    replace(ShellFiles, "read", make)


@breaks("F1", "test_write_makes_parents_and_sets_a_mode")
def a_mode_is_forgotten() -> None:
    from sandboxkit import files

    replace(files, "_mode", lambda _: lambda mode: None)


@breaks("F2", "test_a_concurrent_reader_never_sees_half", "test_a_write_in_place_keeps_the_file_itself")
def writes_are_in_place() -> None:
    from sandboxkit.shellfiles import ShellFiles

    def make(original: Any) -> Any:
        async def write(self: Any, *args: Any, **kwargs: Any) -> None:
            await original(self, *args, **{**kwargs, "atomic": False})

        return write

    replace(ShellFiles, "write", make)


@breaks("F2", "test_a_failed_write_leaves_the_old_file_and_nothing_else")
def a_failed_write_is_committed() -> None:
    from sandboxkit.filewriter import ShellWriter

    def make(original: Any) -> Any:
        async def leave(self: Any, *exc: object) -> None:
            await original(self, None, None, None)

        return leave

    replace(ShellWriter, "__aexit__", make)


@breaks("F2", "test_symlinks_are_followed_and_the_mode_is_kept")
def a_symlink_is_replaced() -> None:
    from sandboxkit import fileprograms, filewriter

    replace(filewriter, "WRITE", lambda text: text.replace(fileprograms._RESOLVE, ""))


@breaks("F3", "test_errors_are_the_built_in_ones_too")
def errors_have_one_class() -> None:
    from sandboxkit import fileerrors

    replace(fileerrors, "_CLASSES", lambda _: {})


@breaks("F4", "test_every_legal_name_works", "test_a_relative_path_begins_at_the_working_directory")
def a_leading_dash_is_an_option() -> None:
    from sandboxkit import filelisting, filereader, filewriter, shellfiles

    for module in (filelisting, filereader, filewriter, shellfiles):
        if hasattr(module, "tool_argument"):
            replace(module, "tool_argument", lambda _: lambda path: path)


@breaks("F4", "test_every_legal_name_works")
def names_are_utf_8() -> None:
    from sandboxkit import files

    def make(original: Any) -> Any:
        return lambda path: bytes(original(path)).decode("utf-8", "replace").encode()

    replace(files, "remote_path", make)


@breaks("F5", "test_mkdir_makes_parents_and_once_only")
def mkdir_succeeds_twice() -> None:
    from sandboxkit.shellfiles import ShellFiles

    def make(original: Any) -> Any:
        async def mkdir(self: Any, *args: Any, **kwargs: Any) -> None:
            await original(self, *args, **{**kwargs, "exist_ok": True})

        return mkdir

    replace(ShellFiles, "mkdir", make)


@breaks("F5", "test_a_range_and_an_append")
def a_range_is_off_by_one() -> None:
    from sandboxkit.shellfiles import ShellFiles

    def make(original: Any) -> Any:
        async def read(self: Any, path: bytes, *, offset: int, **rest: Any) -> bytes:
            data: bytes = await original(self, path, offset=offset + (offset > 65_000), **rest)
            return data

        return read

    replace(ShellFiles, "read", make)


@breaks("F5", "test_stat_follows_links_unless_told")
def stat_always_follows() -> None:
    from sandboxkit.shellfiles import ShellFiles

    def make(original: Any) -> Any:
        async def stat(self: Any, path: bytes, *, follow: bool) -> Any:
            return await original(self, path, follow=True)

        return stat

    replace(ShellFiles, "stat", make)


@breaks("F7", "test_files_land_where_the_sandbox_sees_them")
def files_land_below_the_mounts() -> None:
    from sandboxkit import files

    def make(original: Any) -> Any:
        def remote_path(path: Any) -> bytes:
            real: bytes = original(path)
            return real.replace(b"/dev/shm/", b"/tmp/under-")

        return remote_path

    replace(files, "remote_path", make)


@breaks("F7", "test_files_are_the_sandboxs_users")
def files_are_someone_elses() -> None:
    from sandboxkit.shellfiles import ShellFiles

    def make(original: Any) -> Any:
        async def stat(self: Any, path: bytes, *, follow: bool) -> Any:
            info = await original(self, path, follow=follow)
            return attrs.evolve(info, uid=info.uid + 1)

        return stat

    replace(ShellFiles, "stat", make)
