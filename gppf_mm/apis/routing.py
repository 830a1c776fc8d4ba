"""What a checkpoint's routes look like, as pictures and a page."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from gppf_mm.analysis import (
    ROUTE_FILE,
    RouteHistory,
    Routes,
    group_tasks,
    read_history,
    read_routes,
)
from gppf_mm.models import GPPF
from gppf_mm.utils.messages import check_names
from gppf_mm.visualization import (
    affinity_map,
    movement_curves,
    movement_map,
    routing_map,
    routing_page,
    to_png,
    usage_map,
)

from .checkpoint import init_model, require_checkpoint
from .command_line import short_path


def find_config(checkpoint: str | Path) -> Path:
    """Find the config that a run wrote beside its checkpoints.

    Args:
        checkpoint: The checkpoint.

    Returns:
        The config file.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If there is not exactly one config.
    """
    require_checkpoint(checkpoint)
    folder = Path(checkpoint).parent
    found = sorted(folder.glob("*.py"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(
            f"The folder of the checkpoint, {str(folder)!r}, should hold the config "
            f"that the run wrote, one file *.py; found {names}. Name the config: "
            "--config FILE."
        )
    return found[0]


def write_routing(
    cfg: Config, checkpoint: str | Path, out: str | Path, tasks: Sequence[str] = ()
) -> Path:
    """Draw how the tasks of a checkpoint share units.

    Args:
        cfg: The run's config; see `load_config`.
        checkpoint: The checkpoint. The run's ``routes.jsonl`` beside it is used up to
            the checkpoint's iteration, if there is one.
        out: The folder to write to: ``index.html`` and a PNG file for each picture.
        tasks: The tasks to show. Defaults to all.

    Returns:
        The page.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is not of this config, or there is no such task.
    """
    model = _init(cfg, checkpoint, tasks)
    routes = read_routes(model)
    # Of the last iteration, counted from 0; a model that was not trained has 0 too.
    done = int(model.network.step) + 1
    history = _history(Path(checkpoint).parent / ROUTE_FILE, routes, done)
    if tasks:
        routes = routes.select(tuple(tasks))
        if history is not None:
            moments = [moment.select(tuple(tasks)) for moment in history.routes]
            history = RouteHistory(history.iterations, moments)
    figures = dict(
        routing_map=routing_map(routes, f"Routing map after {done} iterations"),
        task_affinity=affinity_map(routes),
        unit_usage=usage_map(routes),
    )
    if history is not None:
        figures["movement_curves"] = movement_curves(history)
        figures["movement_map"] = movement_map(history)
    pictures = {name: to_png(figure) for name, figure in figures.items()}
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        (out / f"{name}.png").write_bytes(content)
    about = _about(model, routes, checkpoint, done)
    page = out / "index.html"
    page.write_text(routing_page(routes, history, pictures, about), encoding="utf-8")
    return page


def find_task_groups(
    cfg: Config, checkpoint: str | Path, count: int, tasks: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Group the tasks of a checkpoint by their routes; see `group_tasks`.

    Args:
        cfg: The run's config; see `load_config`.
        checkpoint: The checkpoint.
        count: How many groups.
        tasks: The tasks to group. Defaults to all.

    Returns:
        The groups.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is not of this config, there is no such task, or there cannot
            be so many groups.
    """
    routes = read_routes(_init(cfg, checkpoint, tasks))
    return group_tasks(routes.select(tuple(tasks) or routes.tasks), count)


def _init(cfg: Config, checkpoint: str | Path, tasks: Sequence[str]) -> GPPF:
    check_names("--task", tasks, cfg.model.tasks)
    return init_model(cfg, checkpoint)


def _history(path: Path, routes: Routes, done: int) -> RouteHistory | None:
    """Read how the routes came to be; None if nobody noted it."""
    if not path.is_file():
        return None
    history = read_history(path)
    kept = [
        (iteration, moment)
        for iteration, moment in zip(history.iterations, history.routes, strict=True)
        if iteration <= done
        and (moment.tasks, moment.groups) == (routes.tasks, routes.groups)
    ]
    if not kept:
        return None
    iterations, moments = zip(*kept, strict=True)
    return RouteHistory(iterations, moments)


def _about(
    model: GPPF, routes: Routes, checkpoint: str | Path, done: int
) -> dict[str, str]:
    fewest, most = min(routes.units), max(routes.units)
    return {
        "checkpoint": short_path(checkpoint),
        "iterations": str(done),
        "router": type(model.network.router).__name__,
        "tasks": ", ".join(routes.tasks),
        "routing groups": str(len(routes.groups)),
        "units in a group": str(most) if fewest == most else f"{fewest} to {most}",
    }
