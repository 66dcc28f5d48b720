"""A group's containers get their images and are started, as often as it takes."""

from __future__ import annotations

import asyncio

from sandboxkit_eci.emulator import health
from sandboxkit_eci.emulator.backend import ImageError
from sandboxkit_eci.emulator.containers import Container
from sandboxkit_eci.emulator.groups import Group
from sandboxkit_eci.emulator.runtime import Runtime

LEAST_BACK_OFF = 0.05
"""Real seconds between two tries, however fast the service's own time goes."""


async def start_all(group: Group, runtime: Runtime) -> bool:
    """Run the first containers to their ends, then start the others; ``False`` if one of the first failed."""
    for container in group.init_containers:
        await start(group, container, runtime)
        assert container.machine is not None
        code = await container.machine.wait()
        container.ends(code, now=runtime.clock.now())
        await container.release()
        if code != 0:
            return False
    await asyncio.gather(*(start(group, container, runtime) for container in group.containers))
    return True


async def start(group: Group, container: Container, runtime: Runtime) -> None:
    """Start one container, in place if it is there, trying again as often as it takes."""
    tries = 0
    while (words := await _try(group, container, runtime, tries)) is not None:
        container.waits(*words)
        await back_off(runtime, tries)
        tries += 1
    await health.started(group, container, runtime)
    container.runs(now=runtime.clock.now())
    runtime.note(group, "Created", f"Created container {container.name}")
    runtime.note(group, "Started", f"Started container {container.name}")


async def back_off(runtime: Runtime, tries: int) -> None:
    """Wait before another try, longer each time."""
    delays = runtime.delays
    seconds = min(delays.longest_back_off, delays.back_off * 2 ** min(tries, 10))
    await runtime.clock.delay(seconds, least=LEAST_BACK_OFF)


async def _try(group: Group, container: Container, runtime: Runtime, tries: int) -> tuple[str, str] | None:
    """Start it; give the reason and the words if that fails."""
    image = container.given["Image"]
    try:
        if container.machine is not None:
            await container.machine.restart()
            return None
        if container.kept is not None:
            kept, container.kept = container.kept, None
            container.machine = await runtime.backend.resume(container.spec, kept)
            if container.machine is not None:
                return None
        pulled = await _pull(group, container, runtime, tries)
        container.machine = await runtime.backend.start(container.spec)
    except ImageError as exc:
        runtime.note(group, "Failed", f'Failed to pull image "{image}": {exc}', warning=True)
        if tries:
            runtime.note(group, "BackOff", f'Back-off pulling image "{image}"', warning=True)
        return ("ImagePullBackOff" if tries else "ErrImagePull"), str(exc)
    except Exception as exc:  # noqa: BLE001 - whatever a backend raises is an event
        words = str(exc) or type(exc).__name__
        runtime.note(group, "FailedCreate", f"Failed to create container {container.name}: {words}", warning=True)
        return ("CrashLoopBackOff" if tries else "CreateContainerError"), words
    if pulled:
        runtime.note(group, "Pulled", f'Successfully pulled image "{image}"')
    if group.given.get("AutoMatchImageCache"):
        runtime.images.add(image)  # a cache is made of it by the service itself
    return None


async def _pull(group: Group, container: Container, runtime: Runtime, tries: int) -> bool:
    """Take the time that the image takes; ``False`` if it takes none."""
    image, given = container.given["Image"], group.given
    fault = group.fault("image-pull")
    if fault and (not fault.value or tries < float(fault.value)):
        raise ImageError(f"failed to resolve reference {image}: not found")
    automatic = given.get("AutoMatchImageCache", False)
    if image in group.cached or (automatic and image in runtime.images):
        runtime.note(group, "SuccessfulHitImageCache", f"Container image {image} is present in the image cache")
        return False
    if automatic:
        runtime.note(group, "MissingImageCache", f"Container image {image} is not present in any image cache")
    runtime.note(group, "Pulling", f'Pulling image "{image}"')
    await runtime.clock.delay(runtime.delays.pull)
    return True
