"""Evaluation of result files under a named protocol: CLEAR-MOT, identity and HOTA measures."""

from .intervals import Difference, count_blocks, difference
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
    "Difference",
    "EvaluationWarning",
    "compare",
    "count",
    "count_blocks",
    "difference",
    "evaluate",
    "evaluate_sequence",
    "summarize",
    "write_csv",
]
