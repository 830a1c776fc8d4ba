from pathlib import Path

from gppf_mm.testing.faults import Hit, Refusal, TrialResult, replace_report, report
from gppf_mm.testing.faults.ranks import RankHit, RanksResult

GOOD = TrialResult(
    1,
    "fork",
    [
        Hit("SIGTERM", "save", 4, 143, 0.5, True, 4),
        Hit("disk full", "step", 7, 2, 1, False),
    ],
    [],
    [],
)
HUNG = Hit("SIGTERM", "validate", 8, None, 90.0, False, 8, ["hangs"])


def tables(text: str) -> dict[str, list[list[str]]]:
    """Return the rows of each table by its first heading."""
    found: dict[str, list[list[str]]] = {}
    for block in text.split("\n\n"):
        rows = [
            [cell.strip() for cell in line.strip("|").split(" | ")]
            for line in block.splitlines()
            if line.startswith("|")
        ]
        if rows:
            found[rows[0][0]] = rows[2:]
    return found


def test_every_fault_is_counted_where_it_struck():
    bad = TrialResult(2, "command", [HUNG], ["ema"], [])
    text = report({"Seed": "0"}, [GOOD, bad], [], None)
    found = tables(text)
    rows = {row[0]: row[1:] for row in found["Fault"]}
    assert rows["SIGTERM"] == [
        *["2", "0", "0", "1", "1", "0", "143, None", "90.0", "1", "1 of 2"]
    ]
    assert rows["disk full"][-1] == "1 of 1"
    assert len(found["Run"]) == 3
    assert found["Run"][0][-3:] == ["143", "4", "yes"]
    assert "3 faults in 2 runs: 1 of the 2 runs ended bit-equal" in text
    assert "1 hung, and in 1 something else" in text
    assert "- Run 2: SIGTERM: hangs; differs: ema" in text


def test_a_suite_without_complaints_lists_none():
    text = report({}, [GOOD], [], None)
    assert "1 of the 1 runs ended bit-equal" in text
    assert "0 hung, and in 0 something else" in text
    assert "- Run" not in text


def test_refused_files_and_ranks():
    refusals = [Refusal("half", 2, "a|b", ()), Refusal("code", 0, "", ("is loaded",))]
    ranks = RanksResult([RankHit(1, 3, 4.2, 1), RankHit(0, 8, None, None)], False)
    text = report({}, [], refusals, ranks)
    assert r"| half | exit code 2: a\|b | yes |" in text
    assert "| code | exit code 0:  | no |" in text
    assert "| rank 0 | 8 | hung | None |" in text
    assert "DIFFER" in text
    assert not ranks.good


def test_a_report_replaces_the_one_before_and_nothing_else(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# Faults\n\nBefore.\n")
    replace_report(page, report({"Seed": "1"}, [GOOD], [], None))
    once = page.read_text() + "\nAfter.\n"
    page.write_text(once)
    replace_report(page, report({"Seed": "2"}, [GOOD], [], None))
    assert page.read_text() == once.replace("Seed: 1", "Seed: 2")
