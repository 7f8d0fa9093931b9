"""Evaluation of result files under a named protocol: CLEAR-MOT, identity and HOTA measures."""

from .metrics import (
    COLUMNS,
    COUNTS,
    DISTRACTORS,
    MIN_OVERLAP,
    OVERALL,
    PROTOCOLS,
    Counts,
    compare,
    count,
    evaluate,
    evaluate_sequence,
    frames,
    prepare,
    summarize,
    write_csv,
)

__all__ = [
    "COLUMNS",
    "COUNTS",
    "DISTRACTORS",
    "MIN_OVERLAP",
    "OVERALL",
    "PROTOCOLS",
    "Counts",
    "compare",
    "count",
    "evaluate",
    "evaluate_sequence",
    "frames",
    "prepare",
    "summarize",
    "write_csv",
]
