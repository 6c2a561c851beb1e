# make setup   .venv with pinned packages and the ROS interfaces; nothing to do the second time
# make demo    the whole way from demonstrations to a policy on the (simulated) robot; FRESH=1 starts over
# make test    all tests
# make check   style, types, and which package may import which
# make mutants the tests against small faults in the code that moves an arm; MODULE=safety, SAMPLE=20, FRESH=1
# make format  lay the code out as `make check` wants it
# make clean   away with .venv and out/
#
# PYTHON=python3.12 picks the interpreter; without it, setup finds one that fits.

PYTHON ?=
BIN := .venv/bin

.PHONY: setup demo test check mutants format clean

setup:
	@command -v python3 >/dev/null || { echo "setup: python3 is missing; install with: sudo apt-get install python3 python3-dev python3-venv" >&2; exit 1; }
	@PYTHON="$(PYTHON)" python3 ros2_ws/setup_workspace.py

demo: setup
	@$(BIN)/conure demo $(if $(FRESH),fresh=true)

test: setup
	$(BIN)/pytest $(ARGS)

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n 0 -q tests/test_imports.py

mutants: setup
	@$(BIN)/python -m tests.mutants --module=$(MODULE) --sample=$(or $(SAMPLE),0) $(if $(FRESH),--fresh)

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv out
