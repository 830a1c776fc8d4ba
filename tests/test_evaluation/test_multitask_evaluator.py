import pytest
from mmengine.evaluator import BaseMetric, Evaluator

from gppf_mm.evaluation import MultiTaskEvaluator


class Sum(BaseMetric):
    """A stock metric: sums what it is given."""

    default_prefix = "sum"

    def process(self, data_batch, data_samples) -> None:
        self.results.extend(sample["value"] for sample in data_samples)

    def compute_metrics(self, results: list) -> dict:
        return {"total": sum(results)}


def evaluator(mean: dict | None = None, tasks=("a", "sum")) -> MultiTaskEvaluator:
    return MultiTaskEvaluator({task: Evaluator(Sum()) for task in tasks}, mean)


def test_each_task_is_evaluated_by_its_own_metrics():
    both = evaluator()
    both.process("a", [{"value": 1}, {"value": 2}], None)
    both.process("sum", [{"value": 5}], None)
    metrics = both.evaluate({"a": 2, "sum": 1})
    # A task that is named like its metric's prefix does not repeat it.
    assert metrics == {"a/sum/total": 3, "sum/total": 5}


def test_mean_is_the_average_of_the_named_metrics_in_per_cent():
    both = evaluator(
        {
            "a": {"metric": "sum/total", "scale": 100},
            "sum": {"metric": "sum/total"},
        }
    )
    both.process("a", [{"value": 0.5}], None)
    both.process("sum", [{"value": 70}], None)
    assert both.evaluate({"a": 1, "sum": 1})["mean"] == 60


def test_unknown_names_in_mean_are_refused():
    with pytest.raises(ValueError, match=r"`val_cfg\.mean` has an unknown key 'b'"):
        evaluator({"b": {"metric": "sum/total"}})
    with pytest.raises(ValueError, match=r"'metrics'.*Did you mean 'metric'"):
        evaluator({"a": {"metrics": "sum/total"}})
    with pytest.raises(ValueError, match=r"`val_cfg\.mean\.a\.metric` is missing"):
        evaluator({"a": {"scale": 100}})
    with pytest.raises(TypeError, match=r"`val_cfg\.mean\.a` is 'sum/total'; expected"):
        evaluator({"a": "sum/total"})
    wrong = evaluator({"a": {"metric": "sum/totals"}})
    wrong.process("a", [{"value": 1}], None)
    with pytest.raises(ValueError, match=r"'sum/totals'.*Did you mean 'sum/total'"):
        wrong.evaluate({"a": 1, "sum": 1})


def test_a_task_that_reports_nothing_counts_as_zero():
    class Nothing(Sum):
        def compute_metrics(self, results: list) -> dict:
            return {}

    both = MultiTaskEvaluator(
        {"a": Evaluator(Nothing()), "b": Evaluator(Sum())},
        {"a": {"metric": "sum/total"}, "b": {"metric": "sum/total"}},
    )
    both.process("a", [{"value": 1}], None)
    both.process("b", [{"value": 8}], None)
    assert both.evaluate({"a": 1, "b": 1}) == {"b/sum/total": 8, "mean": 4}
