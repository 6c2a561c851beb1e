"""Sets of graspable objects, by name: those that are built in, and folders of URDFs."""

from collections.abc import Mapping
from typing import Any

from conure_core.errors import unknown_name
from conure_sim.objects.folders import names_a_folder, object_folder, read_object_folder
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
    if not isinstance(objects, str) or (
        objects not in RANDOM_URDFS_PER_SPLIT and names_a_folder(objects)
    ):
        return read_object_folder(object_folder(objects))
    return built_in_set(objects)


def find_object(name: str, pool: Mapping[str, ObjectModel] | None = None) -> ObjectModel:
    """The object of this name in the pool or in either split. Raises: ConfigError listing the valid
    names.
    """
    everything = {
        name: model for split in RANDOM_URDFS_PER_SPLIT for name, model in object_set(split).items()
    }
    everything |= {name: model for split in BLOCKS for name, model in block_set(split).items()}
    everything |= pool or {}
    if name not in everything:
        raise unknown_name("object", name, everything)
    return everything[name]
