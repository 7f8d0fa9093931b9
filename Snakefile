"""The workflow: one rule a notebook, one job a parameter set; nothing is redone that is up to date.

snakemake --cores 2 --config profile=smoke
snakemake --executor slurm --jobs 20 --config profile=paper     (with snakemake-executor-plugin-slurm)

Files go below the working directory (`--directory`), which is the checkout unless told otherwise.
"""

import os
import sys
from pathlib import Path

from deepmot_lib.experiments import settings as profiles

REPO = Path(workflow.basedir)
PROFILE = profiles.get(config.get("profile", "smoke"))
RUNS, REPORTS = f"runs/{PROFILE.name}", f"reports/{PROFILE.name}"
TABLES, FIGURES = f"{REPORTS}/tables", f"{REPORTS}/figures"
os.environ["DEEPMOT_OUT"] = os.getcwd()
# A job counts as one core: jobs side by side must not fight over the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def library(*patterns):
    """Source files of the library that a rule's results depend on, besides the notebook and the profiles."""
    found = {name: sorted((REPO / "deepmot_lib").glob(name)) for name in ("experiments/settings.py", *patterns)}
    for pattern, files in found.items():
        if not files:
            raise ValueError(f"Snakefile: no file deepmot_lib/{pattern}")
    return [str(file) for files in found.values() for file in files]


def run(notebook, **parameters):
    """The shell command that executes a notebook to {output.notebook}; every one has the parameter profile."""
    given = " ".join(f"{key}={value}" for key, value in {"profile": PROFILE.name, **parameters}.items())
    return (
        f"{sys.executable} -m deepmot_lib.experiments.notebooks run {REPO}/notebooks/{notebook}.ipynb {{output.notebook}} {given} "
        "> {log} 2>&1 || {{ cat {log} >&2; exit 1; }}"
    )


rule all:
    input:
        f"{REPORTS}/REPORT.md",
        f"{REPORTS}/index.html",


rule data:
    input:
        f"{REPO}/notebooks/00_data.ipynb",
        library("data/mot.py", "report/*plots.py", "data/synthetic/*.py"),
    output:
        notebook=f"{RUNS}/notebooks/00_data.ipynb",
    log:
        f"{RUNS}/logs/00_data.log",
    shell:
        run("00_data")


rule dhn_training:
    input:
        f"{REPO}/notebooks/02_dhn_training.ipynb",
        library("matchers/*.py", "data/pairs.py", "training/*.py", "assignment.py", "distance.py"),
        rules.data.output,
    output:
        notebook=f"{RUNS}/notebooks/02_dhn_training-{{variant}}-{{pairs}}-seed{{seed}}.ipynb",
        weights=f"{RUNS}/dhn/{{variant}}-{{pairs}}/seed{{seed}}/weights.safetensors",
        table=f"{TABLES}/dhn_{{variant}}_{{pairs}}_seed{{seed}}.csv",
    wildcard_constraints:
        pairs="released|eq3",
    log:
        f"{RUNS}/logs/02_dhn_training-{{variant}}-{{pairs}}-seed{{seed}}.log",
    shell:
        run(
            "02_dhn_training",
            variant="{wildcards.variant}",
            pairs="{wildcards.pairs}",
            seed="{wildcards.seed}",
        )


TRAININGS = [
    expand(rules.dhn_training.output, **{key: [value] for key, value in one._asdict().items()})
    for one in PROFILE.dhn_runs
]


rule dhn_ablation:
    input:
        f"{REPO}/notebooks/03_dhn_ablation.ipynb",
        library("experiments/gradient_quality.py", "report/contents.py", "experiments/matrices.py", "training/perturbation.py"),
        library("paper.py", "experiments/tables.py", "report/plots.py"),
        TRAININGS,
    output:
        notebook=f"{RUNS}/notebooks/03_dhn_ablation.ipynb",
        table=f"{TABLES}/table6.csv",
        gradients=f"{TABLES}/gradients.csv",
        figure=f"{FIGURES}/03_table5.png",
    log:
        f"{RUNS}/logs/03_dhn_ablation.log",
    shell:
        run("03_dhn_ablation")


rule matrix_size:
    input:
        f"{REPO}/notebooks/04_matrix_size.ipynb",
        library("report/plots.py"),
        TRAININGS,
    output:
        notebook=f"{RUNS}/notebooks/04_matrix_size.ipynb",
        table=f"{TABLES}/fig8.csv",
        costs=f"{TABLES}/costs.csv",
        figure=f"{FIGURES}/fig8.png",
    log:
        f"{RUNS}/logs/04_matrix_size.log",
    shell:
        run("04_matrix_size")


def trained_before(wildcards):
    """The runs that a run starts from or tracks with: see experiments/trackers.py."""
    run = profiles.TrackerRun(**{**wildcards, "seed": int(wildcards.seed)})
    vanilla = [profiles.TrackerRun(tracker, "vanilla") for tracker in ("tracktor", run.tracker)]
    if run.reid == "external":  # no training of its own, and one network of ReID for all
        vanilla += [run._replace(reid="none"), profiles.TrackerRun("tracktor", "vanilla", "external")]
    table = f"{TABLES}/tracker_{{tracker}}_{{loss}}_{{reid}}_{{matcher}}_seed{{seed}}.csv"
    return [table.format(**one._asdict()) for one in dict.fromkeys(vanilla) if one != run]


rule tracker_training:
    input:
        f"{REPO}/notebooks/07_tracker_training.ipynb",
        library("trackers/*.py", "training/*.py", "loss.py", "distance.py", "evaluation/*.py", "matchers/weights/*"),
        rules.data.output,
        trained_before,
    output:
        notebook=f"{RUNS}/notebooks/07_tracker_training-{{tracker}}-{{loss}}-{{reid}}-{{matcher}}-seed{{seed}}.ipynb",
        table=f"{TABLES}/tracker_{{tracker}}_{{loss}}_{{reid}}_{{matcher}}_seed{{seed}}.csv",
    wildcard_constraints:
        tracker="tracktor|goturn|siamrpn",
        loss=r"vanilla|smooth_l1|dMOTP|dMOTA[-+A-Z]*(dMOTP)?[-A-Z]*",
        reid="none|external|distance|separate",
        seed=r"\d+",
    log:
        f"{RUNS}/logs/07_tracker_training-{{tracker}}-{{loss}}-{{reid}}-{{matcher}}-seed{{seed}}.log",
    shell:
        run(
            "07_tracker_training",
            tracker="{wildcards.tracker}",
            loss="{wildcards.loss}",
            reid="{wildcards.reid}",
            matcher="{wildcards.matcher}",
            seed="{wildcards.seed}",
        )


TRACKERS = [
    expand(rules.tracker_training.output, **{key: [value] for key, value in one._asdict().items()})
    for one in PROFILE.trackers.runs
]


rule tracker_ablation:
    input:
        f"{REPO}/notebooks/08_tracker_ablation.ipynb",
        library("report/contents.py", "paper.py", "experiments/tables.py", "report/*plots.py", "data/video.py", "evaluation/switches.py"),
        TRACKERS,
    output:
        notebook=f"{RUNS}/notebooks/08_tracker_ablation.ipynb",
        tables=expand(f"{TABLES}/{{name}}.csv", name=["table1", "table2", "table3", "matchers", "table6_training"]),
        figure=f"{FIGURES}/08_table1.png",
    log:
        f"{RUNS}/logs/08_tracker_ablation.log",
    shell:
        run("08_tracker_ablation")


rule benchmark:
    input:
        f"{REPO}/notebooks/09_benchmark.ipynb",
        library("experiments/benchmark.py", "experiments/peers.py", "evaluation/*.py", "data/mot.py", "trackers/*.py"),
        library("paper.py", "experiments/tables.py", "report/plots.py"),
        TRACKERS,
    output:
        notebook=f"{RUNS}/notebooks/09_benchmark.ipynb",
        table=f"{TABLES}/table4_local.csv",
        figure=f"{FIGURES}/09_benchmark.png",
    log:
        f"{RUNS}/logs/09_benchmark.log",
    shell:
        run("09_benchmark")


rule story:
    """The notebooks that only show: nothing reads what they make but the report's figures."""
    input:
        f"{REPO}/notebooks/{{name}}.ipynb",
        library("distance.py", "assignment.py", "loss.py", "experiments/gradients.py", "experiments/examples.py"),
        library("report/playground.py", "report/plots.py", "matchers/*.py", "matchers/weights/*"),
    output:
        notebook=f"{RUNS}/notebooks/{{name}}.ipynb",
    wildcard_constraints:
        name="01_distance_metrics|05_deepmot_loss|06_gradient_visualization",
    log:
        f"{RUNS}/logs/{{name}}.log",
    shell:
        run("{wildcards.name}")


# Everything before the report.
FINISHED = [
    rules.data.output,
    TRAININGS,
    rules.dhn_ablation.output,
    rules.matrix_size.output,
    TRACKERS,
    rules.tracker_ablation.output,
    rules.benchmark.output,
    expand(
        rules.story.output,
        name=["01_distance_metrics", "05_deepmot_loss", "06_gradient_visualization"],
    ),
]


rule notebook_pages:
    """The executed notebooks as HTML, for the report to lead to."""
    input:
        FINISHED,
        library("report/notebook_pages.py"),
    output:
        directory(f"{RUNS}/html"),
    params:
        notebooks=lambda wildcards, input: [file for file in input if file.endswith(".ipynb")],
    log:
        f"{RUNS}/logs/notebook_pages.log",
    shell:
        f"{sys.executable} -m deepmot_lib.report.notebook_pages {{output}} {{params.notebooks:q}} "
        "> {log} 2>&1 || {{ cat {log} >&2; exit 1; }}"


rule report:
    input:
        f"{REPO}/notebooks/10_report.ipynb",
        library("report/*.py", "report/page.html", "evaluation/*.py", "data/result_files.py"),
        library("experiments/tables.py", "paper.py"),
        FINISHED,
        rules.notebook_pages.output,
    output:
        report=f"{REPORTS}/REPORT.md",
        page=f"{REPORTS}/index.html",
        notebook=f"{RUNS}/notebooks/10_report.ipynb",
    log:
        f"{RUNS}/logs/10_report.log",
    shell:
        run("10_report")
