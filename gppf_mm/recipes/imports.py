"""Importing the modules that a config asks for."""

from collections.abc import Mapping
from typing import Any

from mmengine.utils import import_modules_from_strings


def import_modules(where: str, custom_imports: Mapping[str, Any] | None) -> None:
    """Import what a ``custom_imports`` names, so that its classes are registered.

    Args:
        where: What has it, for a message.
        custom_imports: ``imports``, a module or a list, and ``allow_failed_imports``.

    Raises:
        ValueError: If one cannot be imported, and that is not allowed.
    """
    if not custom_imports:
        return
    try:
        import_modules_from_strings(**custom_imports)
    except Exception as error:  # A module may raise anything.
        raise ValueError(
            f"The `custom_imports` of {where} cannot be imported: "
            f"{type(error).__name__}: {error}. Expected modules that Python finds from "
            "here: mend the name, or add their folder to PYTHONPATH."
        ) from error
