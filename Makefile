# make reproduce [PROFILE=smoke|standard|paper|rendered]   run the whole workflow, write runs/<profile>
# make rehearse PROFILE=paper                     what a run will take and what is missing for it, in minutes
# make check                                      lint, types and the fast tests: the inner loop
# make test                                       lint, types, all tests and doctests, every notebook
# make docs                                       the API's pages, to runs/docs
# make publish PROFILE=standard                   copy a finished run to reports/<profile>, which git keeps
# make verify PROFILE=standard                    compare a finished run with the published one, cell by cell;
#                                                 of a run of some jobs TABLES='table5 dhn_*'
# make lab | bench | notebooks | clean
PROFILE ?= smoke
CORES ?= $(shell nproc 2>/dev/null || echo 2)
PYTHON ?= python3
# A path relative to the checkout, since make takes no spaces; called by its Python, since scripts' first lines
# take none either.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# One process per core, each with one thread and whole files.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder

.PHONY: reproduce rehearse publish verify check test docs lab bench notebooks clean

reproduce: $(READY)
	$(BIN)/python -m deepmot_lib.experiments.workflow $(PROFILE) --cores $(CORES)

rehearse: $(READY)
	$(BIN)/python -m deepmot_lib.experiments.rehearsal $(PROFILE)

publish: $(READY)
	$(BIN)/python -m deepmot_lib.report.publish $(PROFILE)

verify: $(READY)
	$(BIN)/python -m deepmot_lib.report.verify $(PROFILE) $(TABLES)

check: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m codespell_lib
	$(BIN)/python -m mypy
	$(PYTEST) -m "not slow" tests

# The workflow runs once, in a folder of its own; the notebooks then find there what it has trained.
test: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m codespell_lib
	$(BIN)/python -m mypy
	out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && \
	DEEPMOT_TEST_RUN="$$out" $(PYTEST) --doctest-modules tests deepmot_lib docs && \
	DEEPMOT_OUT="$$out" $(PYTEST) --nbval --nbval-cell-timeout=600 notebooks

lab: $(READY)
	$(BIN)/python -m deepmot_lib.experiments.notebooks lab notebooks

bench: $(READY)
	$(BIN)/python -m benchmarks.run

# Every module by name: of a package with __all__ pdoc shows the modules only if they are named.
MODULES := $(filter-out %__init__ %__main__,$(subst /,.,$(basename $(wildcard deepmot_lib/*/*.py deepmot_lib/*/*/*.py))))
docs: $(READY)
	$(BIN)/python -m pdoc --docformat google --math --output-directory runs/docs deepmot_lib $(MODULES)

# Executes the notebooks in place, outputs ready for git.
notebooks: $(READY)
	$(BIN)/python -m deepmot_lib.experiments.notebooks refresh notebooks/*.ipynb

# Leaves the reports and the environment.
clean:
	rm -rf runs .snakemake

$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "make VENV=FOLDER puts the environment elsewhere (Python makes none below a folder with a colon)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@
