"""The parameters of each action, in a notation of their own, from the public API documents.

``Name:type``, ``Name[]{…}`` for a list of structures, ``Name{…}`` for one, ``Name:str[]`` for a list of values, ``!``
after the name of one that is required, and ``A|B`` as the type of one that must be one of these words. What an action
is given besides is ignored, as the service does. Every action also has RegionId.
"""

from __future__ import annotations

_PROBE = """{Exec{Command:str[]}, FailureThreshold:int, HttpGet{Path:str, Port:int, Scheme:str},
    InitialDelaySeconds:int, PeriodSeconds:int, SuccessThreshold:int, TcpSocket{Port:int}, TimeoutSeconds:int}"""

_BASIC_CONTAINER = """Arg:str[], Command:str[], Cpu:float, EnvironmentVar[]{FieldRef{FieldPath:str}, Key:str,
    Value:str},
    Gpu:int, Image:str, ImagePullPolicy:Always|IfNotPresent|Never, Memory:float, Name!:str,
    Port[]{Port:int, Protocol:str}, SecurityContext{Capability{Add:str[]}, ReadOnlyRootFilesystem:bool,
    RunAsUser:int},
    TerminationMessagePath:str, TerminationMessagePolicy:str,
    VolumeMount[]{MountPath:str, MountPropagation:str, Name:str, ReadOnly:bool, SubPath:str}, WorkingDir:str,
    Stdin:bool, StdinOnce:bool, Tty:bool"""

_CONTAINER = f"""{_BASIC_CONTAINER}, LivenessProbe{_PROBE}, ReadinessProbe{_PROBE}, EnvironmentVarHide:bool,
    LifecyclePostStartHandlerExec:str[], LifecyclePreStopHandlerExec:str[], SecurityContextPrivileged:bool,
    SecurityContextRunAsGroup:int, SecurityContextRunAsNonRoot:bool"""

_VOLUME = """{ConfigFileVolume{ConfigFileToPath[]{Content:str, Mode:str, Path:str}, DefaultMode:str},
    DiskVolume{DiskId:str, DiskSize:int, FsType:str}, EmptyDirVolume{Medium:str, SizeLimit:str},
    FlexVolume{Driver:str, FsType:str, Options:str}, HostPathVolume{Path:str, Type:str},
    NFSVolume{Path:str, ReadOnly:bool, Server:str}, Name:str,
    Type:EmptyDirVolume|ConfigFileVolume|NFSVolume|FlexVolume|DiskVolume|HostPathVolume}"""

_TAGS = "Tag[]{Key:str, Value:str}"
_REGISTRY = "ImageRegistryCredential[]{Password:str, Server:str, UserName:str}"
_ACR = "{ArnService:str, ArnUser:str, Domain:str[], InstanceId:str, InstanceName:str, RegionId:str}"
_DNS = "DnsConfig{NameServer:str[], Option[]{Name:str, Value:str}, Search:str[]}"
_PLACE = "ResourceGroupId:str, VSwitchId:str, ZoneId:str"
_GROUP = "ContainerGroupId!:str"
_PAGE = "Limit:int, NextToken:str"

_CREATE = f"""ContainerGroupName!:str, Container![]{{{_CONTAINER}}}, InitContainer[]{{{_BASIC_CONTAINER}}},
    ActiveDeadlineSeconds:int, AcrRegistryInfo[]{_ACR}, AutoCreateEip:bool, AutoMatchImageCache:bool, ClientToken:str,
    ComputeCategory:str[], ContainerResourceView:bool, Cpu:float, CpuArchitecture:str, {_DNS}, DnsPolicy:str,
    DryRun:bool,
    EgressBandwidth:int, EipBandwidth:int, EipInstanceId:str, EphemeralStorage:int, HostAliase[]{{Hostname:str[],
    Ip:str}},
    HostName:str, {_REGISTRY}, ImageSnapshotId:str, IngressBandwidth:int, InsecureRegistry:str, InstanceType:str,
    Ipv6AddressCount:int, MaxPendingMinute:int, Memory:float, NtpServer:str[], PlainHttpRegistry:str,
    PrivateIpAddress:str, RamRoleName:str, {_PLACE}, RestartPolicy:Always|OnFailure|Never,
    ScheduleStrategy:VSwitchOrdered|VSwitchRandom, SecurityContext{{Sysctl[]{{Name:str, Value:str}}}},
    SecurityGroupId:str,
    ShareProcessNamespace:bool, SpotDuration:int, SpotPriceLimit:float,
    SpotStrategy:NoSpot|SpotWithPriceLimit|SpotAsPriceGo, StrictSpot:bool, {_TAGS}, TerminationGracePeriodSeconds:int,
    Volume[]{_VOLUME}"""

_UPDATE = f"""{_GROUP}, ClientToken:str, Container[]{{{_CONTAINER}}}, InitContainer[]{{{_BASIC_CONTAINER}}},
    Cpu:float,
    Memory:float, {_DNS}, {_REGISTRY}, ResourceGroupId:str, RestartPolicy:Always|OnFailure|Never, {_TAGS},
    UpdateType:RenewUpdate|IncrementalUpdate, Volume[]{_VOLUME}"""

_LIST = f"""ComputeCategory:str, ContainerGroupIds:str, ContainerGroupName:str, {_PAGE}, {_PLACE},
    SecurityGroupId:str,
    Status:str, {_TAGS}, WithEvent:bool"""

_IMAGE_CACHE = f"""ImageCacheName!:str, Image!:str[], AutoMatchImageCache:bool, ClientToken:str,
    EliminationStrategy:str,
    ImageCacheSize:int, {_REGISTRY}, RetentionDays:int, {_PLACE}, SecurityGroupId:str, {_TAGS}, EipInstanceId:str"""

_RESOURCES = "ResourceType!:str, ResourceId{}:str[]"

SCHEMAS = {
    "CreateContainerGroup": _CREATE,
    "UpdateContainerGroup": _UPDATE,
    "DescribeContainerGroups": _LIST,
    "DescribeContainerGroupStatus": f"ContainerGroupIds:str, {_PAGE}, {_PLACE}, SinceSecond:int, {_TAGS}",
    "DescribeContainerGroupEvents": f"""ContainerGroupIds:str, {_PAGE}, {_PLACE}, SinceSecond:int,
        EventSource:str, {_TAGS}""",
    "DeleteContainerGroup": f"{_GROUP}, ClientToken:str, Force:bool",
    "RestartContainerGroup": f"{_GROUP}, ClientToken:str",
    "ExecContainerCommand": f"{_GROUP}, ContainerName!:str, Command!:str, TTY:bool, Stdin:bool, Sync:bool",
    "DescribeContainerLog": f"""{_GROUP}, ContainerName!:str, LastTime:bool, LimitBytes:int, SinceSeconds:int,
        StartTime:str, Tail:int, Timestamps:bool""",
    "DescribeContainerGroupMetric": f"{_GROUP}, StartTime:str, EndTime:str, Period:str",
    "TagResources": f"{_RESOURCES.format('!')}, Tag![]{{Key:str, Value:str}}",
    "UntagResources": f"{_RESOURCES.format('!')}, TagKey:str[], All:bool",
    "ListTagResources": f"{_RESOURCES.format('')}, {_TAGS}, Limit:int, NextToken:str",
    "DescribeRegions": "",
    "ListUsage": "",
    "DescribeAvailableResource": """DestinationResource!{Category!:InstanceTypeFamily|InstanceType, Value:str,
        Cores:int, Memory:float},
        SpotResource{SpotStrategy:NoSpot|SpotWithPriceLimit|SpotAsPriceGo, SpotPriceLimit:float, SpotDuration:int},
        ZoneId:str""",
    "DescribeContainerGroupPrice": """Cpu:float, Memory:float, EphemeralStorage:int, InstanceType:str,
        SpotStrategy:NoSpot|SpotWithPriceLimit|SpotAsPriceGo, SpotPriceLimit:float, SpotDuration:int,
        ComputeCategory:str, ZoneId:str""",
    "CommitContainer": f"""{_GROUP}, ContainerName!:str, Image!{{Author:str, Message:str, Repository:str, Tag:str}},
        Arn{{RoleArn:str, RoleType:str}}, AcrRegistryInfo{{ArnService:str, ArnUser:str, InstanceId:str,
    RegionId:str}}""",
    "DescribeCommitContainerTask": """ContainerGroupId:str, TaskId:str[], TaskStatus:str, MaxResults:int,
        NextToken:str""",
    "CreateImageCache": _IMAGE_CACHE,
    "DescribeImageCaches": f"""ImageCacheId:str, ImageCacheName:str, Image:str, SnapshotId:str,
        MatchImage:str[], {_PAGE}, ResourceGroupId:str, {_TAGS}""",
    "DeleteImageCache": "ImageCacheId!:str",
}

REGION_OPTIONAL = frozenset({"DescribeRegions"})
"""Actions that can be asked without a region."""

UNSUPPORTED = frozenset(
    [
        "CopyDataCache",
        "CreateDataCache",
        "CreateInstanceOpsTask",
        "CreateVirtualNode",
        "DeleteDataCache",
        "DeleteVirtualNode",
        "DescribeDataCaches",
        "DescribeInstanceOpsRecords",
        "DescribeMultiContainerGroupMetric",
        "DescribeVirtualNodes",
        "ResizeContainerGroupVolume",
        "UpdateDataCache",
        "UpdateImageCache",
        "UpdateVirtualNode",
    ]
)
"""Actions that the service has and the emulator has not."""
