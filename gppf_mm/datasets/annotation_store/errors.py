"""Why annotations are not in the store, or cannot be."""

from pathlib import Path


class NotStoredError(Exception):
    """Says why a dataset's annotations are not stored; it can be used as it is."""


class UnwritableStoreError(OSError):
    """Says that the store cannot be written, and what to do."""

    @classmethod
    def of(cls, folder: Path, error: OSError) -> "UnwritableStoreError":
        """Return the error for a store.

        Args:
            folder: The folder or file that cannot be written.
            error: What the system says.
        """
        return cls(
            f"The annotation store's {str(folder)!r} cannot be written "
            f"({type(error).__name__}: {error}). Expected a folder that this user can "
            "write, with room for the annotations, about as much as their files take. "
            "Let `annotation_store` name another folder, or leave the key out."
        )
