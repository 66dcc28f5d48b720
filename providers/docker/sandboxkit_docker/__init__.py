"""Sandboxes in Docker containers: what a user of the provider names in code. The SDK is not imported here."""

from sandboxkit_docker.options import DockerOptions, RegistryAuth

__all__ = ["DockerOptions", "RegistryAuth"]
