"""Fixtures shared by all tests, and the table of the identities' errors."""

import gc
from collections.abc import Callable, Iterator

import pytest
import torch
from mmengine.registry import DefaultScope

IDENTITY_TOLERANCE = 1e-5
_PROPERTY = "identity"


# The networks are small: more threads would only wait for each other, the more so
# on a busy machine, and sums would depend on their number.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _keep_what_is_imported() -> None:
    """Leave what the libraries hold out of garbage collections, for good.

    MMEngine collects for every data set that it builds: a third of a second each time
    where millions of objects of all libraries are looked at.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _free_memory() -> Iterator[None]:
    """Free what a module's runners and hooks keep alive by naming each other."""
    yield
    gc.collect()


@pytest.fixture(autouse=True, scope="module")
def _leave_no_foreign_scope() -> Iterator[None]:
    """Forget the default scope of another library, as a stock runner leaves it.

    The modules after it would look up our classes there.
    """
    before = dict(DefaultScope._instance_dict)
    yield
    scope = DefaultScope.get_current_instance()
    if scope is not None and scope.scope_name not in ("mmengine", "gppf_mm"):
        DefaultScope._instance_dict.clear()
        DefaultScope._instance_dict.update(before)


@pytest.fixture
def check_identity(
    record_property: Callable[[str, object], None],
) -> Callable[[str, bool, float], None]:
    """Return a function that records an identity's largest error and bounds it."""

    def check(identity: str, with_cp: bool, error: float) -> None:
        record_property(_PROPERTY, (identity, with_cp, error))
        assert error <= IDENTITY_TOLERANCE

    return check


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> None:
    """Print the largest error of each identity, checkpointed and not."""
    errors: dict[str, dict[bool, float]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == _PROPERTY:
                    identity, with_cp, error = value
                    row = errors.setdefault(identity, {})
                    row[with_cp] = max(error, row.get(with_cp, 0.0))
    if not errors:
        return
    terminalreporter.section("identities: largest relative error, float32")
    width = max(map(len, errors))
    write = terminalreporter.write_line
    write(f"{'activation checkpointing':{width}}  {'off':>8}  {'on':>8}")
    for identity, row in sorted(errors.items()):
        cells = (f"{row[cp]:.1e}" if cp in row else "-" for cp in (False, True))
        write(f"{identity:{width}}  " + "  ".join(f"{cell:>8}" for cell in cells))
