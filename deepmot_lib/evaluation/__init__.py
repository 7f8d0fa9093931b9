"""Evaluation of result files under a named protocol: CLEAR-MOT, identity and HOTA measures."""

from .metrics import (
    COLUMNS,
    COUNTS,
    OVERALL,
    Counts,
    compare,
    count,
    evaluate,
    evaluate_sequence,
    summarize,
    write_csv,
)
from .protocol import DISTRACTORS, MIN_OVERLAP, PROTOCOLS, EvaluationWarning

__all__ = [
    "COLUMNS",
    "COUNTS",
    "DISTRACTORS",
    "MIN_OVERLAP",
    "OVERALL",
    "PROTOCOLS",
    "Counts",
    "EvaluationWarning",
    "compare",
    "count",
    "evaluate",
    "evaluate_sequence",
    "summarize",
    "write_csv",
]
