# make help lists the tasks.
VENV := .venv
PY := $(VENV)/bin/python
# marginaleffects needs a polars older than ours.
OTHER := .venv-marginaleffects
# Compiled dependencies only; glimm itself is built each time.
DEV := maturin formulaic narwhals numpy scipy rich pandas polars pyarrow pytest mypy ruff pandas-stubs matplotlib

.PHONY: help build demo test lint bench bench-setup bench-integration bench-inference bench-prediction calibrate bench-smoke pictures stress calibrate-gee bench-gee calibrate-checks calibrate-page bench-checks bench-animal calibrate-animal bench-structures clean

help: ## list the tasks
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

$(VENV)/.ready: pyproject.toml Makefile
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "glimm needs Python 3.11 or newer")'
	python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet $(DEV)
	touch $@

$(OTHER)/.ready: Makefile
	python3 -m venv $(OTHER)
	$(OTHER)/bin/python -m pip install --quiet marginaleffects 'polars<2' pandas pytest rich
	touch $@

build: $(VENV)/.ready ## build glimm into the virtual environment .venv
	. $(VENV)/bin/activate && PIP_QUIET=2 maturin develop --release --quiet

demo: build ## build, then fit a shipped study by the command-line program and print it
	$(VENV)/bin/glimm fit "seizures ~ treatment * period + (1 | patient)" dataset:epilepsy --family nbinom2

lint: build ## formatting, lints and types of both languages
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	cargo fmt --check
	cargo clippy --release --all-targets --quiet -- -D warnings

test: lint $(OTHER)/.ready ## all that .ci/run checks
	cargo test --release --quiet -p glimm-core
	$(PY) -m pytest
	PYTHONPATH=python $(OTHER)/bin/python -m pytest tests/effects/test_marginaleffects.py
	$(PY) benchmarks/run.py --smoke

bench-setup: build ## make the virtual environments of the peers that bench times
	$(PY) benchmarks/run.py --setup

bench: build ## time glimm and the peers installed; tables go to benchmarks/results
	$(PY) benchmarks/run.py

stress: build ## four hundred small and hard problems; the table goes to benchmarks/results
	$(PY) benchmarks/stress.py

pictures: build ## draw the pictures of the docs; the table of the integral's accuracy goes to benchmarks/results
	$(PY) benchmarks/integration.py
	$(PY) benchmarks/pictures.py

bench-integration: build ## time certified integration against Laplace and peers; the table goes to benchmarks/results
	$(PY) benchmarks/integration_speed.py

calibrate-gee: build ## type I error of estimating equations with few clusters; the table goes to benchmarks/results
	$(PY) benchmarks/gee_calibration.py

bench-gee: build ## time estimating equations beside geepack and statsmodels; the table goes to benchmarks/results
	$(PY) benchmarks/gee_speed.py

bench-animal: build ## time animal models of 100,000 and 50,000 animals; the table goes to benchmarks/results
	$(PY) benchmarks/animal.py speed

calibrate-animal: build ## bias and coverage of heritability over 200 pedigrees; the table goes to benchmarks/results
	$(PY) benchmarks/animal.py calibrate

calibrate-checks: build ## size and power of all checks of residuals; the table goes to benchmarks/results
	$(PY) benchmarks/checks_calibration.py

calibrate-page: build ## how often a page of checks finds something in data of a true model
	$(PY) benchmarks/page_calibration.py

bench-checks: build ## time and memory of residuals and checks, DHARMa beside them; the table goes to benchmarks/results
	$(PY) benchmarks/checks_speed.py

bench-structures: build ## time autoregressions within subjects beside glmmTMB; the table goes to benchmarks/results
	$(PY) benchmarks/structures.py

bench-inference: build ## time bootstraps, profiles and predictions, lme4 beside them; the table goes to benchmarks/results
	$(PY) benchmarks/inference_speed.py

bench-prediction: build ## time intervals of predictions, 10^4 to 10^6 rows; the table goes to benchmarks/results
	$(PY) benchmarks/prediction_speed.py

calibrate: build ## coverage of intervals over a factorial design; the table goes to benchmarks/results
	$(PY) benchmarks/calibrate.py

bench-smoke: build ## the smallest benchmark, glimm alone
	$(PY) benchmarks/run.py --smoke

clean: ## remove what was built
	rm -rf $(VENV) $(OTHER) target
