"""README's picture: ``python -m deepmot_lib.report.first_picture docs/first-picture.png``.

One frame of each of the three scenes, with each person's box and last two seconds in their identity's color.
"""

import io
import sys
import tempfile

from PIL import Image

from ..data.files import atomic
from ..data.synthetic import write_sequences
from . import sequence_plots

FRAMES = {"EMB-01-FRCNN": 56, "EMB-02-FRCNN": 24, "EMB-03-FRCNN": 52}


def draw(path: str) -> None:
    """Render the scenes and write the PNG with 256 colors."""
    panels = {}
    with tempfile.TemporaryDirectory() as folder:
        for sequence in write_sequences(folder, 3, max(FRAMES.values()), (480, 640)):
            if sequence.name in FRAMES:
                frame, gt = FRAMES[sequence.name], sequence.gt()
                past = gt[gt["frame"].between(frame - 20, frame)]
                panels[sequence.name] = sequence.image(frame), gt[gt["frame"] == frame], past
    picture = io.BytesIO()
    sequence_plots.streets(panels, columns=3, width=4.2).savefig(picture, dpi=110, format="png")
    with atomic(path) as temporary:
        Image.open(picture).convert("RGB").quantize(256).save(temporary, optimize=True)


if __name__ == "__main__":
    draw(*sys.argv[1:])
