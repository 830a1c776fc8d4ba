"""Evaluation: several stock evaluators as one."""

from .multitask_evaluator import MeanItem, MultiTaskEvaluator, metric_name

__all__ = ["MeanItem", "MultiTaskEvaluator", "metric_name"]
