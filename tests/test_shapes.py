"""The suite checks the annotated shapes at run time: shown by calls that torch alone lets pass."""

import subprocess
import sys

import pytest
import torch
from jaxtyping import TypeCheckError

from deepmot_lib.identities import align_matches
from deepmot_lib.loss import dmotp


def test_a_shape_that_only_broadcasts_is_an_error():
    """One row of matches for two of distances: a number comes out, and it is wrong."""
    with pytest.raises(TypeCheckError, match="matches"):
        dmotp(torch.rand(2, 3), torch.ones(1, 3))


def test_a_dimension_means_the_same_in_all_arguments():
    """Ids of three tracks for the two rows of the previous frame."""
    ids = torch.arange(2)
    with pytest.raises(TypeCheckError, match="previous_track_ids"):
        align_matches(torch.eye(2), torch.arange(3), ids, torch.eye(2), ids, ids)


@pytest.mark.slow
def test_the_library_itself_checks_nothing():
    """Outside of the tests there is no hook, and no cost."""
    code = (
        "import torch; from deepmot_lib.loss import dmotp; print(dmotp(torch.ones(2, 3), torch.ones(1, 3)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "tensor(-1.)", found.stderr
