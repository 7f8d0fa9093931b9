"""What each notebook teaches, what it takes, and where the paper's equations, figures and tables are in it.

``wayfinding`` writes the titles, links and maps of the notebooks from this table.
"""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where something of the paper is.

    Attributes:
        paper: "Eq. 3", "Fig. 9", "Table 5"; empty for what the paper does not have.
        section: The notebook's heading above it.
        code: The library's module, function or class, dotted, without ``deepmot_lib``.
    """

    paper: str
    section: str
    code: str


class Stop(NamedTuple):
    """A notebook on the way.

    Attributes:
        name: Its file's name without suffix; begins with its number.
        title: Its title, without the number.
        learn: What a reader knows afterwards, one sentence each.
        takes: Time and data, in the profile ``smoke``.
        places: What of the paper it shows.
    """

    name: str
    title: str
    learn: tuple[str, ...]
    takes: str
    places: tuple[Place, ...]

    @property
    def number(self) -> str:
        """Return its number as two digits."""
        return self.name[:2]


STOPS = (
    Stop(
        "00_data",
        "The data: boxes, identities, detectors",
        (
            "What a tracker is given and what it is evaluated against.",
            "Why boxes are drawn around people who cannot be seen, and what that does to recall.",
            "Which part of a sequence trains, selects and is reported.",
        ),
        "Seconds; the sequences are rendered on the spot.",
        (
            Place("", "The ground truth, row by row", "data.box_files"),
            Place("", "Three detectors", "data.synthetic.detectors"),
            Place("Appendix A.2", "The split", "data.mot"),
            Place("Appendix A.1", "Pairs for the Deep Hungarian Net", "data.pairs"),
        ),
    ),
    Stop(
        "01_distance_metrics",
        "Distances: how far is a predicted box from an object?",
        (
            "The distance between a track and an object that the paper trains with, and its two parts.",
            "Why overlap alone gives no gradient exactly where one is needed.",
            "Where a NaN comes from, and what is done at these places.",
        ),
        "Seconds; no data. The playground at the end needs JupyterLab.",
        (
            Place("Eq. 4", "The two ingredients", "distance.center_distance"),
            Place("Eq. 3", "The two ingredients", "distance.box_distance"),
            Place("Appendix A.2", "Appearance", "distance.appearance_distance"),
            Place("", "Playground", "report.playground.rivals"),
        ),
    ),
    Stop(
        "02_dhn_training",
        "The Deep Hungarian Net: a network that learns to assign",
        (
            "How a recurrent network reads a matrix of any size and returns a soft assignment.",
            "The loss that teaches it, and why it weighs ones and zeros apart.",
            "How WA, MA and SA of Tables 5 and 6 are counted.",
        ),
        "About a minute on one CPU core; the pairs are made of rendered sequences.",
        (
            Place("Appendix A.1", "The pairs", "data.pairs"),
            Place("Sec. 4.1, Figs. 2 and 5", "The network", "matchers.sequential.SequentialDHN"),
            Place("Sec. 5.1, Appendix A.1", "The loss", "training.matcher.focal_loss"),
            Place("Eq. 10", "The measures of Tables 5 and 6", "assignment.weighted_accuracy"),
        ),
    ),
    Stop(
        "03_dhn_ablation",
        "Which network? Tables 5 and 6, and what the paper did not ask",
        (
            "How the paper's five networks compare, the paper's numbers beside ours.",
            "Why not simply the Hungarian algorithm, or Sinkhorn.",
            "How well each matcher's gradient points where the counted measure improves.",
        ),
        "Reads what notebook 02 has left; a network that is missing is trained on the spot.",
        (
            Place("Table 5", "Table 5", "evaluation.matching"),
            Place("", "How long it takes to learn", "experiments.lengths"),
            Place("", "What needs no training", "matchers.controls"),
            Place("Table 6", "Table 6: the matrices that a tracker sees", "experiments.matrices"),
            Place("", "The gradient", "experiments.gradient_quality"),
        ),
    ),
    Stop(
        "04_matrix_size",
        "How large may a crowd be? Fig. 8, and what matching costs",
        (
            "How a network's accuracy changes with the number of people.",
            "What a matrix costs, forward and backward.",
        ),
        "Reads what notebook 02 has left; a network that is missing is trained on the spot.",
        (
            Place("Fig. 8", "Fig. 8", "experiments.timing"),
            Place("", "What a matrix costs", "experiments.timing"),
        ),
    ),
    Stop(
        "05_deepmot_loss",
        "The DeepMOT loss: counting errors softly",
        (
            "How false positives, misses and identity switches become sums of a softmax.",
            "What the published equations leave out: the scale, and what it costs.",
            "What counts as an identity switch, here and in the benchmark.",
        ),
        "Seconds; no data.",
        (
            Place("Fig. 3", "Eq. 5 to 9, line by line", "soft_counts"),
            Place("Eq. 5", "False positives and misses", "soft_counts.row_softmax"),
            Place("Eq. 6", "Identity switches", "identities.align_matches"),
            Place("Eq. 7", "dMOTA, dMOTP and the loss", "loss.dmota"),
            Place("Eq. 8", "dMOTA, dMOTP and the loss", "loss.dmotp"),
            Place("Eq. 9", "dMOTA, dMOTP and the loss", "loss.deepmot_loss"),
            Place("", "The scale that the equations do not show", "soft_counts"),
            Place("", "Playground", "report.playground.counts"),
        ),
    ),
    Stop(
        "06_gradient_visualization",
        "What the loss does to the boxes",
        (
            "In which direction each term of the loss pulls a box.",
            "When nothing pulls at all, and what a smaller scale does about it.",
            "What ten steps of descent make of a case of your own.",
        ),
        "Seconds; no data. The playground at the end needs JupyterLab.",
        (
            Place("Appendix C, Fig. 9", "Three cases", "experiments.gradients.forces"),
            Place("", "Where the gradient dies", "soft_counts"),
            Place("", "Playground", "report.playground.clip"),
        ),
    ),
    Stop(
        "07_tracker_training",
        "Training a tracker for the measure it is evaluated by",
        (
            "How to write a training step and the loop over a clip, for this tracker or another.",
            "How the gradient goes from the loss through the matcher to the weights that place the boxes.",
            "What of a tracker learns, and what stays as the detector's training left it.",
        ),
        "About a minute on two CPU cores; rendered sequences.",
        (
            Place("Appendix A.2", "What it learns from", "training.clips"),
            Place("Sec. 4.3, Fig. 4", "One training step", "training.deepmot"),
            Place("", "Where the gradient arrives", "training.objectives"),
            Place("Sec. 4.3", "The loop over a clip", "training.rollout"),
            Place("Sec. 5.1", "The second matrix: who looks alike", "training.head"),
            Place("Sec. 5.2", "Tracking", "trackers.tracking"),
        ),
    ),
    Stop(
        "08_tracker_ablation",
        "Which loss trains the better tracker? Tables 1, 2 and 3",
        (
            "What was found for the paper's claim, row by row, with the paper's numbers beside.",
            "Which of these numbers can carry a conclusion.",
        ),
        "Reads what notebook 07 has left; a tracker that is missing is trained on the spot.",
        (
            Place("Table 1", "Table 1: re-identification", "experiments.rows"),
            Place("Table 2", "Table 2: which term of the loss?", "experiments.rows"),
            Place("Table 3", "Table 3: other trackers", "experiments.rows"),
        ),
    ),
    Stop(
        "09_benchmark",
        "Table 4, and the same detections for everyone",
        (
            "How results reach the benchmark's server.",
            "What SORT and ByteTrack need, and how ours compare with them on the same detections.",
        ),
        "Reads what notebook 07 has left; a tracker that is missing is trained on the spot.",
        (
            Place("Table 4", "Test: the server's numbers", "evaluation.submission"),
            Place("", "Local: the same detections, counted here", "experiments.benchmark"),
            Place("", "What the others need", "experiments.peers"),
        ),
    ),
    Stop(
        "10_report",
        "The report",
        (
            "Whether the evaluation can be trusted.",
            "What was found for each of the paper's claims, and by which rule that is said.",
            "Where every table ends up.",
        ),
        "Seconds; reads what the notebooks before it have left.",
        (
            Place("", "Can the evaluation be trusted?", "evaluation.published"),
            Place("", "Claim by claim", "experiments.claims"),
            Place("Tables 1 to 6", "The paper's tables", "paper"),
        ),
    ),
    Stop(
        "11_beyond_the_paper",
        "Beyond the paper: messages, HOTA, and where gradients die",
        (
            "How tracks and objects bargain their way to an exact assignment.",
            "How HOTA becomes differentiable, and what the past of a track adds to the gradient.",
            "What a loss that knows all identities does instead, and how far each loss sees.",
            "Why an accurate matcher has no slope, and what a temperature does about it.",
        ),
        "About two minutes on one CPU core; a tracker that is missing is trained on the spot.",
        (
            Place("", "An assignment by messages", "matchers.min_sum"),
            Place("", "HOTA, softly", "soft_hota"),
            Place("", "A loss after UniTrack", "training.objectives.unitrack"),
            Place("", "Trackers trained by them", "training.rollout"),
            Place("", "Where the gradient of the counts dies", "experiments.gradient_quality"),
        ),
    ),
    Stop(
        "12_your_own_data",
        "Your own data: check, track, train, evaluate",
        (
            "What a folder of one's own needs, and what is said of one that is wrong.",
            "What weights of real streets make of people whom they have never seen.",
            "How to train on it, and on which of its frames to report.",
        ),
        "About a minute on one CPU core; a film is rendered on the spot.",
        (
            Place("", "Check", "data.mot"),
            Place("", "Track", "experiments.default_weights"),
            Place("", "Train", "experiments.own_data"),
            Place("", "Evaluate", "evaluation.metrics"),
        ),
    ),
    Stop(
        "13_rendered_scenes",
        "Which loss trains the better tracker? Sixty scenes, eight beginnings",
        (
            "What a comparison of losses takes before it can tell half a point of MOTA.",
            "Whether association matters in the trainings at all.",
            "What the DeepMOT loss adds to its parts, and to losses that know all identities.",
        ),
        "About two minutes on one CPU core at small size; an hour and a half on two cores in full.",
        (
            Place("", "The scenes", "data.synthetic.stage"),
            Place("", "The arms", "experiments.comparison"),
            Place("Table 2", "What came of it", "experiments.comparison_results"),
        ),
    ),
)
