"""The workflow: one rule a notebook, one job a parameter set; nothing is redone that is up to date.

make reproduce PROFILE=smoke, or by itself:

python -m snakemake --cores 2 --config profile=smoke
python -m snakemake --executor slurm --jobs 20 --config profile=paper   (with snakemake-executor-plugin-slurm)

Files go below the working directory (`--directory`), which is the checkout unless told otherwise.
"""

import os
import shlex
import sys
from pathlib import Path

from deepmot_lib.experiments import folders, settings
from deepmot_lib.experiments.engine import ENGINE, process_name
from deepmot_lib.experiments.fingerprints import folder_state
from deepmot_lib.experiments.source import code_digest

REPO = Path(workflow.basedir)
SETTINGS = settings.get(config.get("profile", "smoke"))
RUNS = f"runs/{SETTINGS.name}"
TABLES, FIGURES, NOTEBOOKS = f"{RUNS}/tables", f"{RUNS}/figures", f"{RUNS}/notebooks"
os.environ["DEEPMOT_OUT"] = os.getcwd()
folders.resolve()
# Jobs end with this process: those of a killed run must not write beside those of the next.
os.environ[ENGINE] = process_name(os.getpid())
# A job counts as one core: jobs side by side must not fight over the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# glibc's: a tensor takes the memory of one before it, not new pages: of a frame's features a fifth of the time.
os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**36))
PYTHON = shlex.quote(sys.executable).replace("{", "{{").replace("}", "}}")
REAL_DATA = folders.data_folder() if SETTINGS.real_data else None
DATA = folder_state(REAL_DATA) if REAL_DATA else ""


def source(notebook):
    """A notebook of the checkout, by its path from here: in inputs, braces of a folder's name are wildcards."""
    return os.path.relpath(REPO / "notebooks" / f"{notebook}.ipynb")


def code(notebook):
    """What a notebook's results depend on besides its inputs: its code, all that it imports, and the data.

    Where it differs, the notebook runs again; what the library has kept and is still true is not made again.
    """
    return f"{code_digest(REPO / 'notebooks' / f'{notebook}.ipynb')} {DATA}"


def run(**parameters):
    """The shell command that executes a notebook to {output.notebook}; every one has the parameter profile."""
    given = " ".join(f"{key}={value}" for key, value in {"profile": SETTINGS.name, **parameters}.items())
    return (
        f"{PYTHON} -m deepmot_lib.experiments.notebooks run {{input.source:q}} {{output.notebook:q}} {given} "
        "> {log:q} 2>&1 || {{ cat {log:q} >&2; exit 1; }}"
    )


# The profile rendered is the comparison of notebook 13, and nothing else.
IS_COMPARISON = SETTINGS.comparison.evidence


rule all:
    input:
        f"{NOTEBOOKS}/13_rendered_scenes.ipynb" if IS_COMPARISON else [f"{RUNS}/REPORT.md", f"{RUNS}/index.html"],


rule data:
    input:
        source=source("00_data"),
    output:
        notebook=f"{NOTEBOOKS}/00_data.ipynb",
    params:
        code=code("00_data"),
    log:
        f"{RUNS}/logs/00_data.log",
    shell:
        run()


rule dhn_training:
    input:
        rules.data.output,
        source=source("02_dhn_training"),
    output:
        notebook=f"{NOTEBOOKS}/02_dhn_training-{{variant}}-{{pairs}}-seed{{seed}}.ipynb",
        table=f"{TABLES}/dhn_{{variant}}_{{pairs}}_seed{{seed}}.csv",
    wildcard_constraints:
        pairs="released|eq3",
    params:
        code=code("02_dhn_training"),
    log:
        f"{RUNS}/logs/02_dhn_training-{{variant}}-{{pairs}}-seed{{seed}}.log",
    shell:
        run(
            variant="{wildcards.variant}",
            pairs="{wildcards.pairs}",
            seed="{wildcards.seed}",
        )


TRAININGS = [
    expand(rules.dhn_training.output, **{key: [value] for key, value in one._asdict().items()})
    for one in SETTINGS.dhn_runs
]


rule dhn_length:
    """The first of them with another number of steps."""
    input:
        rules.data.output,
        source=source("02_dhn_training"),
    output:
        notebook=f"{NOTEBOOKS}/02_dhn_training-steps{{steps}}.ipynb",
        table=f"{RUNS}/steps{{steps}}/tables/dhn_{SETTINGS.dhn_runs[0].label}.csv",
    # The longest job of a run: others fit beside it.
    priority: 2
    params:
        code=code("02_dhn_training"),
    log:
        f"{RUNS}/logs/02_dhn_training-steps{{steps}}.log",
    shell:
        run(**SETTINGS.dhn_runs[0]._asdict(), steps="{wildcards.steps}")


LENGTHS = [expand(rules.dhn_length.output, steps=[steps]) for steps in SETTINGS.dhn_lengths]


rule dhn_ablation:
    input:
        TRAININGS,
        LENGTHS,
        source=source("03_dhn_ablation"),
    output:
        notebook=f"{NOTEBOOKS}/03_dhn_ablation.ipynb",
        table=f"{TABLES}/table6.csv",
        gradients=f"{TABLES}/gradients.csv",
        parts=expand(f"{TABLES}/{{name}}.csv", name=["lengths", "table6_blocks", "gradients_frames"]),
        figure=f"{FIGURES}/03_table5.png",
    params:
        code=code("03_dhn_ablation"),
    log:
        f"{RUNS}/logs/03_dhn_ablation.log",
    shell:
        run()


rule matrix_size:
    input:
        TRAININGS,
        source=source("04_matrix_size"),
    output:
        notebook=f"{NOTEBOOKS}/04_matrix_size.ipynb",
        table=f"{TABLES}/fig8.csv",
        parts=f"{TABLES}/fig8_matrices.csv",
        costs=f"{TABLES}/costs.csv",
        figure=f"{FIGURES}/fig8.png",
    params:
        code=code("04_matrix_size"),
    log:
        f"{RUNS}/logs/04_matrix_size.log",
    shell:
        run()


def trained_before(wildcards):
    """The runs that a run starts from or tracks with: see experiments/trackers.py."""
    run = settings.TrackerRun(**{**wildcards, "seed": int(wildcards.seed)})
    vanilla = [settings.TrackerRun(tracker, "vanilla") for tracker in ("tracktor", run.tracker)]
    vanilla += [run.weights_run]  # external ReID and control heads have no training of their own
    if run.reid == "external":  # one network for all
        vanilla += [settings.TrackerRun("tracktor", "vanilla", "external")]
    table = f"{TABLES}/tracker_{{tracker}}_{{loss}}_{{reid}}_{{matcher}}_{{training}}_seed{{seed}}.csv"
    return [table.format(**one._asdict()) for one in dict.fromkeys(vanilla) if one != run]


rule tracker_training:
    input:
        rules.data.output,
        trained_before,
        source=source("07_tracker_training"),
    output:
        notebook=f"{NOTEBOOKS}/07_tracker_training-{{tracker}}-{{loss}}-{{reid}}-{{matcher}}-{{training}}-seed{{seed}}.ipynb",
        table=f"{TABLES}/tracker_{{tracker}}_{{loss}}_{{reid}}_{{matcher}}_{{training}}_seed{{seed}}.csv",
        blocks=f"{TABLES}/blocks_{{tracker}}_{{loss}}_{{reid}}_{{matcher}}_{{training}}_seed{{seed}}.csv",
    wildcard_constraints:
        tracker="tracktor|goturn|siamrpn",
        loss=r"vanilla|detector|smooth_l1|unitrack|soft_hota|dMOTP|dMOTA[-+A-Z]*(dMOTP)?[-A-Z]*",
        reid="|".join(["none", "external", "head", *settings.CONTROL_HEADS]),
        matcher=r"\w+",
        training="release|paper",
        seed=r"\d+",
    # The others begin with the vanilla Tracktor's weights: matchers are trained beside it, not before it.
    priority: 1
    params:
        code=code("07_tracker_training"),
    log:
        f"{RUNS}/logs/07_tracker_training-{{tracker}}-{{loss}}-{{reid}}-{{matcher}}-{{training}}-seed{{seed}}.log",
    shell:
        run(
            tracker="{wildcards.tracker}",
            loss="{wildcards.loss}",
            reid="{wildcards.reid}",
            matcher="{wildcards.matcher}",
            training="{wildcards.training}",
            seed="{wildcards.seed}",
        )


TRACKERS = [
    expand(rules.tracker_training.output, **{key: [value] for key, value in one._asdict().items()})
    for one in SETTINGS.trackers.runs
]


rule tracker_ablation:
    input:
        TRACKERS,
        source=source("08_tracker_ablation"),
    output:
        notebook=f"{NOTEBOOKS}/08_tracker_ablation.ipynb",
        tables=expand(f"{TABLES}/{{name}}.csv", name=["table1", "table2", "table3", "matchers", "table6_training"]),
        figure=f"{FIGURES}/08_table1.png",
    params:
        code=code("08_tracker_ablation"),
    log:
        f"{RUNS}/logs/08_tracker_ablation.log",
    shell:
        run()


rule benchmark:
    input:
        # Its rows of ours: it takes long, and need not wait for the other runs.
        [
            expand(rules.tracker_training.output, **{key: [value] for key, value in one._asdict().items()})
            for one in settings.OURS.values()
        ],
        source=source("09_benchmark"),
    output:
        notebook=f"{NOTEBOOKS}/09_benchmark.ipynb",
        table=f"{TABLES}/table4_local.csv",
        figure=f"{FIGURES}/09_benchmark.png",
    params:
        code=code("09_benchmark"),
    log:
        f"{RUNS}/logs/09_benchmark.log",
    shell:
        run()


rule beyond_the_paper:
    input:
        rules.data.output,
        TRACKERS,
        source=source("11_beyond_the_paper"),
    output:
        notebook=f"{NOTEBOOKS}/11_beyond_the_paper.ipynb",
        table=f"{TABLES}/beyond.csv",
        figure=f"{FIGURES}/11_hota_forces.png",
    params:
        code=code("11_beyond_the_paper"),
    log:
        f"{RUNS}/logs/11_beyond_the_paper.log",
    shell:
        run()


STORY = [
    "index",
    "01_distance_metrics",
    "05_deepmot_loss",
    "06_gradient_visualization",
    "12_your_own_data",
    # In small: in full it is a profile of its own, and has no place in a report of other data.
    *["13_rendered_scenes"] * (not SETTINGS.evidence and not IS_COMPARISON),
]


rule story:
    """The notebooks that only show: nothing reads what they make but the report's figures."""
    input:
        source=source("{name}"),
    output:
        notebook=f"{NOTEBOOKS}/{{name}}.ipynb",
    wildcard_constraints:
        name="|".join(STORY),
    params:
        code=lambda wildcards: code(wildcards.name),
    log:
        f"{RUNS}/logs/{{name}}.log",
    shell:
        run()


def compare(job):
    """The shell command of a job of the comparison on rendered scenes."""
    return (
        f"{PYTHON} -m deepmot_lib.experiments.comparison {SETTINGS.name} {job} "
        "> {log:q} 2>&1 || {{ cat {log:q} >&2; exit 1; }}"
    )


rule scenes:
    """The scenes of the comparison, by part: they lie below runs/<profile>/scenes."""
    output:
        touch(f"{RUNS}/scenes/{{part}}.rendered"),
    params:
        code=code_digest("deepmot_lib.data.synthetic"),
    log:
        f"{RUNS}/logs/scenes-{{part}}.log",
    shell:
        compare("scenes {wildcards.part}")


rule comparison_rates:
    """All arms of a pilot initialization at all learning rates."""
    input:
        expand(rules.scenes.output, part=["train", "select"]),
    output:
        table=f"{TABLES}/comparison_rates_{{pilot}}.csv",
    params:
        code=code_digest("deepmot_lib.experiments.comparison"),
    log:
        f"{RUNS}/logs/comparison_rates-{{pilot}}.log",
    shell:
        compare("rates {wildcards.pilot}")


rule comparison:
    """All arms of an initialization, counted on the test scenes."""
    input:
        expand(rules.scenes.output, part=["train", "test"]),
        expand(rules.comparison_rates.output, pilot=range(SETTINGS.comparison.pilots)),
    output:
        table=f"{TABLES}/comparison_{{initialization}}.csv",
    wildcard_constraints:
        initialization=r"\d+",
    params:
        code=code_digest("deepmot_lib.experiments.comparison"),
    log:
        f"{RUNS}/logs/comparison-{{initialization}}.log",
    shell:
        compare("initialization {wildcards.initialization}")


if IS_COMPARISON:

    rule rendered_scenes:
        """The story of the comparison: notebook 13, with all initializations as jobs before it."""
        input:
            expand(rules.comparison.output, initialization=range(SETTINGS.comparison.initializations)),
            source=source("13_rendered_scenes"),
        output:
            notebook=f"{NOTEBOOKS}/13_rendered_scenes.ipynb",
            table=f"{TABLES}/comparison.csv",
            figure=f"{FIGURES}/13_differences.png",
        params:
            code=code("13_rendered_scenes"),
        log:
            f"{RUNS}/logs/13_rendered_scenes.log",
        shell:
            run()


# Everything before the report.
FINISHED = [
    rules.data.output,
    TRAININGS,
    LENGTHS,
    rules.dhn_ablation.output,
    rules.matrix_size.output,
    TRACKERS,
    rules.tracker_ablation.output,
    rules.benchmark.output,
    rules.beyond_the_paper.output,
    expand(rules.story.output, name=STORY),
]


rule notebook_pages:
    """The executed notebooks as HTML, for the report to lead to."""
    input:
        FINISHED,
    output:
        directory(f"{RUNS}/html"),
    params:
        notebooks=lambda wildcards, input: [file for file in input if file.endswith(".ipynb")],
        code=code_digest("deepmot_lib.report.notebook_pages"),
    log:
        f"{RUNS}/logs/notebook_pages.log",
    shell:
        f"{PYTHON} -m deepmot_lib.report.notebook_pages {{output:q}} {{params.notebooks:q}} "
        "> {log:q} 2>&1 || {{ cat {log:q} >&2; exit 1; }}"


rule report:
    input:
        FINISHED,
        rules.notebook_pages.output,
        source=source("10_report"),
    output:
        report=f"{RUNS}/REPORT.md",
        page=f"{RUNS}/index.html",
        notebook=f"{NOTEBOOKS}/10_report.ipynb",
    params:
        code=code("10_report"),
    log:
        f"{RUNS}/logs/10_report.log",
    shell:
        run()
