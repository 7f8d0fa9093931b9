"""What the report shows, in its order: sections with tables, figures and the notebook that makes them."""

from __future__ import annotations

from typing import NamedTuple

from .guide import STOPS


class Entry(NamedTuple):
    """A section of the report that the paper does not have, or one of its figures.

    Attributes:
        heading: Its heading.
        notebook: The number of the notebook that makes it.
        text: What it shows, Markdown.
        file: Its CSV, empty where there is none.
        figures: Names of its figures, without suffix.
        decimals: Decimals of its numbers.
        section: The heading in the notebook, empty for its beginning.
        profile: The profile whose published files a report of evidence shows where its run has none.
    """

    heading: str
    notebook: str
    text: str = ""
    file: str = ""
    figures: tuple[str, ...] = ()
    decimals: int = 2
    section: str = ""
    profile: str = ""


#: The notebook of each of the paper's tables, and the figures beside it.
PAPERS_TABLES = {
    1: ("08", ("08_table1",)),
    2: ("08", ("08_table2",)),
    3: ("08", ("08_table3",)),
    4: ("09", ()),
    5: ("03", ("03_table5", "03_training", "03_price_of_accuracy")),
    6: ("03", ()),
}
#: Keys of the paper's tables whose groups are compared apart.
WITHIN = {3: ("tracker",), 4: ("benchmark",), 5: ("discretization",), 6: ("discretization",)}

#: The paper's figures.
PAPERS_FIGURES = (
    Entry(
        "Fig. 8",
        "04",
        "Accuracy on uniform random matrices as they grow.",
        "fig8.csv",
        ("fig8",),
        section="Fig. 8",
    ),
    Entry(
        "Fig. 9",
        "06",
        "Where each term of the loss pulls the boxes.",
        figures=("06_gradients", "06_gradients_min_sum"),
        section="Three cases",
    ),
)

#: What the paper does not have.
BEYOND = (
    Entry(
        "Beside Table 5: how long the paper's network learns",
        "03",
        "The first network of Table 5 after trainings of several lengths, seed 0; WA with its 95 % interval "
        "over frames.",
        "lengths.csv",
        ("03_lengths",),
        section="How long it takes to learn",
    ),
    Entry(
        "Beside Table 4: last quarters, ours and others on the same detections",
        "09",
        "Frames per second were measured in one run: ours with reading images and the network, the others' "
        "tracking alone. *Our boxes*: the detections that our tracks are born of.",
        "table4_local.csv",
        ("09_benchmark",),
        section="Local: the same detections, counted here",
    ),
    Entry(
        "Transfer: whole sequences of which nothing was seen",
        "09",
        "Never trained on, and nothing was chosen by them.",
        "transfer.csv",
    ),
    Entry(
        "Rules of track management, chosen on the third quarters",
        "07",
        "What was tried around the vanilla Tracktor, step by step; of each step the change of the highest "
        "mean of MOTA and HOTA is kept, and the next step starts from it.",
        "rules.csv",
        decimals=3,
    ),
    Entry(
        "Beyond the paper: which matcher trains the better tracker",
        "08",
        "Tracktor with its ReID head, trained by Eq. 9 through each matcher, one seed; last quarters.",
        "matchers.csv",
    ),
    Entry(
        "Beyond the paper: which loss trains the better tracker",
        "11",
        "Tracktor trained by a differentiable HOTA and by a loss after UniTrack (docs/deviations.md), one "
        "seed each, below the rows that they stand beside; last quarters.",
        "beyond.csv",
        ("11_losses",),
        section="Trackers trained by them",
    ),
    Entry(
        "Beyond Table 2: losses compared on rendered scenes",
        "13",
        "DeepMOT less each arm, points of MOTA with 95 % intervals: the wider of bootstrap over scenes and "
        "Student's t over initializations.",
        "comparison.csv",
        ("13_differences",),
        section="Differences and their intervals",
        profile="rendered",
    ),
    Entry(
        "Table 6 again: matrices from the trackers' own trainings",
        "08",
        "As the matcher saw them, networks whose weights ship, trained on Eq. 3's distances.",
        "table6_training.csv",
    ),
    Entry(
        "Beyond the paper: where a matcher's gradient points",
        "03",
        "Cosine with the gradient of the counted measure, by differences over perturbed boxes; pull: that of "
        "the negative gradient with the way to each box's own object; size as a multiple of the counted one; "
        "none and exploding in percent of the frames.",
        "gradients.csv",
        ("03_gradients",),
        3,
        "The gradient",
    ),
    Entry(
        "Beyond the paper: what a matcher costs",
        "04",
        "One forward and backward pass over one matrix; scipy's Hungarian has no backward pass.",
        "costs.csv",
        ("04_costs",),
        section="What a matrix costs",
    ),
)

#: What holds the evaluation against published results, as far as notebook 10 has run it: file, text.
CHECKS = (
    ("evaluation_tud.csv", "The two examples in motmetrics' wheel, protocol `plain`:"),
    ("evaluation_lif_t.csv", "Lif_T on MOT17 train, protocol `motchallenge`, beside the official kit:"),
)

#: What the figures show.
CAPTIONS = {
    "00_streets": "The embedded data with its ground truth",
    "00_detectors": "Its three detectors",
    "00_detector_quality": "How often they find a person, and what their scores tell",
    "00_crowd": "People per frame, box heights, visibility",
    "01_distance_profile": "Eq. 3: value and slope as a box slides over an object",
    "01_descents": "What each distance makes of a box that follows its gradient",
    "03_table5": "Table 5: the paper's networks, ours, and what needs no training",
    "03_training": "Loss and accuracy while they learn",
    "03_lengths": "How long the paper's network learns: WA after trainings of several lengths",
    "03_cases": "A good and a bad case: distances, soft assignment, exact one",
    "03_price_of_accuracy": "What Sinkhorn's accuracy costs, beside the paper's network",
    "03_gradients": "Where each matcher's gradient points",
    "04_costs": "What a matrix costs",
    "05_three_frames": "Three frames with a miss, a false positive and two switches",
    "05_matrices": "Fig. 3 in numbers",
    "05_counts": "Soft counts beside the counted ones",
    "05_saturation": "What the scale of the softmax costs",
    "06_gradients": "Fig. 9: negative gradients of the terms of the loss",
    "06_gradients_min_sum": "The same with the matcher min_sum and scale 10",
    "08_table1": "Table 1: who recognizes people",
    "08_table2": "Table 2: which term of the loss",
    "08_table3": "Table 3: three trackers",
    "08_strip": "The same frames: ground truth, Vanilla, Smooth L1, DeepMOT; a red ring marks a switch",
    "09_benchmark": "Ours and others on the same detections",
    "11_messages": "min_sum: three tracks that are nearest to one object",
    "11_price_of_accuracy": "What accuracy costs: Sinkhorn and message passing",
    "11_hota_thresholds": "HOTA of TUD-Campus over the overlap that a match needs, counted and soft",
    "11_hota_forces": "Beside Fig. 9: what pulls at the boxes for HOTA",
    "11_hota_past": "HOTA's pull to the wrong object, by the length of the past",
    "11_reach": "How strongly each loss pulls a box that stands beside its object",
    "11_losses": "Losses beyond the paper",
    "11_scale_and_temperature": "Where the gradient of the counts dies, and what brings it back",
    "13_scenes": "Rendered scenes, each with its own street, people and camera",
    "13_beginnings": "Each initialization, trained on by each loss",
    "13_differences": "DeepMOT less each other arm, with 95 % intervals",
    "fig8": "Fig. 8: accuracy on uniform random matrices as they grow",
}


def notebook(number: str) -> str:
    """Return the name of a notebook, by its two digits."""
    return next(stop.name for stop in STOPS if stop.number == number)


def section(number: str, paper: str) -> str:
    """Return the heading in a notebook under which something of the paper is, empty where it has none."""
    places = next(stop.places for stop in STOPS if stop.number == number)
    return next((place.section for place in places if place.paper == paper), "")
