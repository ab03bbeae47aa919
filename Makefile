# On a machine with Python >= 3.11 and make: `make demo` runs the demo study, `make test` the tests. Both install
# into .venv first. A C++ compiler (g++) makes training several times faster; without one it still runs.
PYTHON ?= python3
STUDY ?= avagrad-demo
# What `make test` and `make test-all` run: everything, or the files and folders given. The former leaves out tests
# marked slow, each of which has a quicker one beside it.
TESTS ?=
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest --quiet --numprocesses 3 --dist worksteal --durations 20
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-all check bench soak docs clean

demo: .venv/installed
	mkdir -p demo
	$(BIN)/tunability run studies/$(STUDY).toml --storage sqlite:///demo/tunability.db
	$(BIN)/tunability plot landscape $(STUDY) --storage sqlite:///demo/tunability.db \
	  -o demo/$(STUDY).png -o demo/$(STUDY).pdf
	$(BIN)/tunability tune studies/$(STUDY).toml --storage sqlite:///demo/tunability.db
	$(BIN)/tunability plot suboptimality $(STUDY) --storage sqlite:///demo/tunability.db \
	  -o demo/$(STUDY)-suboptimality.png
	$(BIN)/tunability plot cost $(STUDY) --target 0.01 --storage sqlite:///demo/tunability.db \
	  -o demo/$(STUDY)-cost.png
	$(BIN)/tunability cost $(STUDY) --target 0.01 --storage sqlite:///demo/tunability.db
	$(BIN)/tunability plot separability $(STUDY) --storage sqlite:///demo/tunability.db \
	  -o demo/$(STUDY)-separability.png
	$(BIN)/tunability separability $(STUDY) --storage sqlite:///demo/tunability.db

test: .venv/installed-dev
	$(PYTEST) -m "not slow" $(TESTS)

test-all: .venv/installed-dev
	$(PYTEST) $(TESTS)

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if [ -x $(BIN)/biome ]; then $(BIN)/biome lint --error-on-warnings; \
	  else echo "JavaScript is not linted: biome's wheel is for Linux on x86-64 alone"; fi

bench: .venv/installed-dev
	$(BIN)/python benchmarks/trainer.py
	$(BIN)/python benchmarks/optimizers.py
	$(BIN)/python benchmarks/diverging.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/black_boxes.py
	$(BIN)/python benchmarks/tuning.py
	$(BIN)/python benchmarks/scattered.py --simulations 20
	$(BIN)/python benchmarks/separability.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/service.py

soak: .venv/installed-dev
	$(BIN)/python benchmarks/soak.py --faults 50

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet
	@echo "open build/docs/start.html"

clean:
	rm -rf .venv demo build

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(INSTALL) --editable '.[dev]'
	touch $@

.venv/installed-docs: .venv/installed
	$(INSTALL) --editable '.[docs]'
	touch $@
