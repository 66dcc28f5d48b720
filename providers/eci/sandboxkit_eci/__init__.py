"""The provider for Alibaba Cloud Elastic Container Instance: what its user names in code. No SDK is imported here."""

from sandboxkit_eci.options import (
    AcrRegistry,
    ConfigFiles,
    EciOptions,
    EmptyDir,
    NfsVolume,
    RegistryCredential,
)

__all__ = ["AcrRegistry", "ConfigFiles", "EciOptions", "EmptyDir", "NfsVolume", "RegistryCredential"]
