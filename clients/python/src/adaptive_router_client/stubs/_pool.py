"""Makes the message classes from descriptors, with whatever protobuf is installed.

The pool is the client's own: the router's package, or stubs of the caller's own making, may hold
the same files in another version in the same process.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

POOL = descriptor_pool.DescriptorPool()


def define(module: dict[str, Any], serialized: bytes) -> None:
    """Put a file's classes, enums and enum values into a module."""
    POOL.AddSerializedFile(serialized)
    name = descriptor_pb2.FileDescriptorProto.FromString(serialized).name
    file = POOL.FindFileByName(name)
    module["DESCRIPTOR"] = file
    for name, message in file.message_types_by_name.items():
        module[name] = _made(message)
    for name, enum in file.enum_types_by_name.items():
        module[name] = EnumTypeWrapper(enum)
        module.update({value.name: value.number for value in enum.values})


def _made(message: Descriptor) -> type[Message]:
    """Returns the class of a message, which holds those of its nested ones."""
    made = message_factory.GetMessageClass(message)
    for name, nested in message.nested_types_by_name.items():
        if not hasattr(made, name):  # protobuf in pure Python does not look them up
            setattr(made, name, _made(nested))
    return made
