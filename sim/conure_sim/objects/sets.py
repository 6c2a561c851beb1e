"""Sets of graspable objects, by name: those that are built in, and folders of URDFs."""

from collections.abc import Mapping
from typing import Any

from conure_core.errors import unknown_name
from conure_sim.objects.folders import is_folder_path, parse_object_folder, read_object_folder
from conure_sim.objects.primitives import (
    BLOCKS,
    RANDOM_URDFS_PER_SPLIT,
    ObjectModel,
    block_set,
    built_in_set,
)


def object_set(objects: str | Mapping[str, Any]) -> dict[str, ObjectModel]:
    """Objects by name: the built-in ones, 'train' or 'test'; or those of a folder of URDFs, see
    objects.folders.

    Raises: ConfigError for another name, or a folder that cannot be used.
    """
    if isinstance(objects, str):
        is_built_in = objects in RANDOM_URDFS_PER_SPLIT
        if is_built_in or not is_folder_path(objects):
            return built_in_set(objects)
    return read_object_folder(parse_object_folder(objects))


def find_object(name: str, pool: Mapping[str, ObjectModel] | None = None) -> ObjectModel:
    """Find an object by name.

    Args:
        name: Of the object.
        pool: Further objects, which take precedence over the built-in ones of both splits.

    Returns:
        The object.

    Raises:
        ConfigError: There is none of this name; lists the valid names.
    """
    objects: dict[str, ObjectModel] = {}
    for split in RANDOM_URDFS_PER_SPLIT:
        objects |= object_set(split)
    for split in BLOCKS:
        objects |= block_set(split)
    objects |= pool or {}
    if name not in objects:
        raise unknown_name("object", name, objects)
    return objects[name]
