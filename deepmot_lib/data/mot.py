"""MOTChallenge data: box files, and the sequences that they belong to.

Everything is imported from here: ``box_files`` reads and writes the files, ``sequences`` opens and splits the
folders that ``sequence_folders`` finds.
"""

from ..columns import COLUMNS
from .box_files import (
    PEDESTRIAN,
    MotFormatWarning,
    pedestrians,
    read_boxes,
    read_detections,
    read_ground_truth,
    write_ground_truth,
    write_results,
)
from .number_rows import MotFormatError
from .sequence_folders import Found, find_sequences, scan, sequence_folders
from .sequences import Sequence, split

__all__ = [
    "COLUMNS",
    "PEDESTRIAN",
    "Found",
    "MotFormatError",
    "MotFormatWarning",
    "Sequence",
    "find_sequences",
    "pedestrians",
    "read_boxes",
    "read_detections",
    "read_ground_truth",
    "scan",
    "sequence_folders",
    "split",
    "write_ground_truth",
    "write_results",
]
