"""A config whose text is formatted once."""

from mmengine.config import Config


class CachedTextConfig(Config):
    """A config that formats its text anew only after a change.

    MMEngine formats the whole config for the log, the work dir and every single
    checkpoint. That takes seconds for a config that holds several stock recipes.
    """

    @classmethod
    def of(cls, cfg: Config) -> "CachedTextConfig":
        """Return the same config with cached text."""
        cached = cls.__new__(cls)
        cached.__setstate__(cfg.__getstate__())
        return cached

    @property
    def pretty_text(self) -> str:
        """The config as formatted Python code."""
        content = str(self.to_dict())
        if self.__dict__.get("_formatted", (None, ""))[0] != content:
            # `Config` keeps its own attributes past its `__setattr__`.
            self.__dict__["_formatted"] = (content, super().pretty_text)
        return self.__dict__["_formatted"][1]
