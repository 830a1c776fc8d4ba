import pytest

from gppf_mm.testing.mini8.page import (
    check_places,
    gain_rows,
    main_rows,
    markdown,
    transfer_rows,
    write_section,
)
from gppf_mm.testing.mini8.table import Value, better_of, delta_m, gains, wins
from gppf_mm.testing.mini8.tasks import TASKS


def seeds(*values: float) -> list[dict[str, float]]:
    return [dict.fromkeys(TASKS, value) for value in values]


def test_delta_m_by_hand():
    # +10 %, -5 % and +1 %: 2 % on average, whatever the scales.
    single = dict(a=40.0, b=80.0, c=10.0)
    assert delta_m(dict(a=44.0, b=76.0, c=10.1), single) == pytest.approx(2.0)
    assert delta_m(single, single) == 0
    # No metric of mini8 is better when it is lower: less is a loss, everywhere.
    assert delta_m({task: value / 2 for task, value in single.items()}, single) == -50


@pytest.mark.parametrize("single", [dict(a=1.0, b=1.0), dict(a=0.0)])
def test_delta_m_refuses_what_has_no_relation(single: dict[str, float]):
    with pytest.raises(ValueError, match="Delta_m"):
        delta_m(dict(a=1.0), single)


def test_value_is_mean_and_standard_deviation():
    assert str(Value.of([1.0, 2.0, 3.0])) == "2.0 ± 1.0"
    assert str(Value.of([2.0])) == "2.0"


def test_gains_and_their_spread():
    ours = [dict(a=3.0, b=5.0), dict(a=5.0, b=5.2)]
    base = [dict(a=1.0, b=6.0), dict(a=1.0, b=6.2)]
    found = gains(ours, base)
    assert found["a"].mean == pytest.approx(3.0)
    assert found["a"].spread == pytest.approx(2**0.5)  # 2 ** 0.5 and 0
    assert found["b"].mean == pytest.approx(-1.0)
    assert wins(found) == (1, 1)
    # A single seed has no spread to be beyond of.
    assert wins(gains(ours[:1], base)) == (1, 0)
    # Seeds may agree to the last digit.
    assert wins(gains([dict(a=2.0)] * 2, [dict(a=1.0)] * 2)) == (1, 1)


@pytest.mark.parametrize(("ours", "base"), [((2.0, 3.0), (1.0,)), ((2.0,), (1.0, 0.0))])
def test_no_gain_is_counted_as_within_a_spread_that_is_not_known(
    ours: tuple[float, ...], base: tuple[float, ...]
):
    _, lego = gain_rows(dict(shared_private=seeds(*base), lego=seeds(*ours)))
    assert lego[-2:] == ["8/8", ""]


def test_better_of_is_by_task():
    first, second = [dict(a=1.0, b=9.0)], [dict(a=2.0, b=8.0)]
    assert better_of(first, second) == dict(a=second, b=first)


def test_tables():
    results = dict(
        single=seeds(50.0, 52.0),
        shared_private=seeds(40.0, 42.0),
        lego=seeds(45.0, 47.0),
    )
    lrs = dict.fromkeys(results, 2e-3)
    header, single, _, lego = main_rows(results, lrs)
    cells = dict(zip(header, lego, strict=True))
    assert cells["scene"] == "46.0 ± 1.4"
    # 46 of 51: -9.8 %
    assert cells["Delta_m %"].startswith("-9.8")
    assert dict(zip(header, single, strict=True))["Delta_m %"].startswith("0.0")
    header, strong, both = gain_rows(results)
    assert dict(zip(header, strong, strict=True))["mean"] == "+5.0"
    assert dict(zip(header, both, strict=True))["mean"] == "-5.0"
    assert strong[-2:] == ["8/8", "8/8"]
    assert both[-2:] == ["0/8", "0/8"]


def test_transfer_table_has_a_column_for_each_fraction():
    results = {
        f"{way}~{part}%": [dict(heldout=float(part))]
        for way in ("scratch", "lego:both")
        for part in (1, 100)
    }
    header, scratch, lego = transfer_rows(results, dict.fromkeys(results, 1e-3))
    assert header == ["from", "1%", "100%", "lr", "seeds"]
    assert scratch[:3] == ["scratch", "1.0", "100.0"]
    assert lego[0] == "lego:both"


def test_rates_of_a_transfer_with_a_gap_are_those_of_their_columns():
    parts = dict(scratch=(1, 10, 100), lego=(1, 100))
    names = [f"{way}~{part}%" for way, found in parts.items() for part in found]
    rows = transfer_rows(
        {name: [dict(heldout=1.0)] for name in names},
        {name: 0.01 if name.endswith("~1%") else 0.1 for name in names},
    )
    assert [row[-2] for row in rows] == ["lr", "0.01, 0.1, 0.1", "0.01, -, 0.1"]


def test_sections_of_a_page_are_replaced_by_themselves(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- mini8: main -->\nold\n<!-- end of mini8: main -->\nb\n"
        "<!-- mini8: groups -->\n<!-- end of mini8: groups -->\nc\n"
    )
    write_section(page, "main", markdown([["x", "y"], ["1", "2"]]))
    write_section(page, "groups", "new")
    text = page.read_text()
    assert "old" not in text
    assert "| x | y |\n| --- | ---: |\n| 1 | 2 |" in text
    assert [part for part in "abc" if f"{part}\n" in text] == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"no lines.*weighting"):
        write_section(page, "weighting", "new")


def test_places_are_checked_before_the_runs(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- mini8: main -->\n<!-- end of mini8: main -->\n")
    check_places(page, ["main"], None)
    check_places(page, ["groups"], "main")
    check_places(None, ["main", "groups"], None)
    with pytest.raises(ValueError, match=r"no lines.*mini8: groups"):
        check_places(page, ["main", "groups"], None)
    with pytest.raises(ValueError, match=r"no lines.*mini8: mian"):
        check_places(page, ["main"], "mian")
    with pytest.raises(ValueError, match=r"`--place` is 'main'.*names 2 sections"):
        check_places(page, ["main", "groups"], "main")
