"""The outcomes of a sweep, in a file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Records:
    """The outcomes of a sweep, in a file of one JSON object a line.

    Later lines replace earlier ones of the same recipe or signature, so that a file
    can be resumed after an interruption, or after a fix.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.expansions: dict[str, Record] = {}
        self.checks: dict[str, Record] = {}
        text = self.path.read_text() if self.path.is_file() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # Half a line, after an interruption.
            self.path.write_text(whole)
        for line in whole.splitlines():
            self._take(json.loads(line))

    def _take(self, record: Record) -> None:
        if record["record"] == "expansion":
            self.expansions[record["recipe"]] = record
        else:
            self.checks[record["signature"]] = record

    def add(self, record: Record) -> None:
        """Append a record to the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._take(record)

    def outcomes(self) -> Iterator[Record]:
        """Yield the outcome of every recipe: its expansion's, or its model's check."""
        for recipe, expansion in self.expansions.items():
            check = self.checks.get(expansion["signature"])
            if expansion["status"] != "ok":
                yield expansion
            elif check is not None:
                keys = ("status", "stage", "reason", "difference", "seconds")
                yield {**expansion, **{key: check[key] for key in keys}}
            else:
                yield {**expansion, "status": "unchecked", "recipe": recipe}
