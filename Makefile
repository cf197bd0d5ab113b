# Everything runs in .venv, made here on first use. PYTHON=python3.12 chooses the interpreter (3.11 or later).
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
DEMO := examples/quickstart/jobs.yaml

.PHONY: demo test lint storm inject contract bench clean

demo: .venv/local
	$(BIN)/vidu-run $(DEMO)
	@echo
	@echo "open   examples/quickstart/out/jobs.local/report.html"
	@echo "edit   $(DEMO), and run it again: only what changed is made"
	@echo "then   $(BIN)/vidu-run plan $(DEMO) --provider octopusx   (what it would cost)"

test: .venv/test lint
	$(BIN)/pytest -n 3 --dist worksteal

# Long: kills the command 500 times under faulty submits and audits what is left. KILLS=50 for a short one.
KILLS := 500
storm: .venv/test
	cd tests && ../$(BIN)/python storm.py --kills $(KILLS)

# Schemathesis reads the local API's description and looks for an answer that it does not have.
contract: .venv/test
	$(BIN)/pip install --quiet --disable-pip-version-check schemathesis
	cd tests && ../$(BIN)/python contract.py

# CPU, wall and memory of runs, of large specs and of commands over finished sweeps beside a bare loop, and of large
# pages (needs Chromium) beside a bare one. The figures of the last time stand in benchmarks/README.md.
bench: .venv/test
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/polling.py
	$(BIN)/python benchmarks/plan.py
	$(BIN)/python benchmarks/idle.py
	$(BIN)/python benchmarks/page.py

# Long, needs strace: breaks every sync, rename and send of a run, one at a time, and audits what is left.
# CALLS=fdatasync,rename for some of them, EVERY=--every for each error of the disk both once and for good.
inject: .venv/test
	cd tests && ../$(BIN)/python inject.py --calls "$(CALLS)" $(EVERY)

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/local: pyproject.toml
	@test -n "$(PYTHON)" || { echo "vidu-run needs Python 3.11 or later: make PYTHON=/path/to/python"; exit 1; }
	@echo "making .venv and installing vidu-run into it: about a minute, the first time only"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[local]'
	touch $@

.venv/test: .venv/local
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[local,test]'
	touch $@

clean:
	rm -rf .venv build dist examples/quickstart/out examples/storyboard/out
