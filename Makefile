# `make demo` fine-tunes a small model and opens the studio; `make test` runs every test. Both install what they need.

VENV ?= .venv
SERVE ?= 1
PY := $(VENV)/bin/python
# The first Python of at least 3.11 on the path.
PYTHON ?= $(firstword $(foreach p,python3 python3.11 python3.12 python3.13 python3.14,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(p))))
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

HUB2 := $(VENV)/hub2

.PHONY: help demo studio test test-app test-slow test-ui test-hub2 lint lock chromium
.DEFAULT_GOAL := help
# A Python without pip would count as made otherwise.
.DELETE_ON_ERROR:

help:
	@echo "make demo     fine-tune the quickstart model, then open the studio (SERVE=0: end after the run)"
	@echo "make studio   open the studio at http://localhost:7860 (another port: STUDIO_PORT)"
	@echo "make test     run every test"
	@echo "make test-hub2  run the tests of publishing with huggingface_hub 2.x, which nothing else here takes yet"
	@echo "make lint     check the style"
	@echo "make lock     renew requirements.txt and requirements-dev.txt"

demo: $(INSTALLED)
	$(PY) -m studio run presets/quickstart.yaml --follow
ifneq ($(SERVE),0)
	$(PY) -m studio serve --open last
endif

studio: $(INSTALLED)
	$(PY) -m studio serve

# Layer by layer; one that fails ends the run. The unit tests bound processor time and run alone; all others mostly wait
# for processes of their own, so two files run at a time, and of the app's and the slow ones four.
test: $(INSTALLED_DEV) chromium
	$(PY) -m pytest tests/unit
	$(MAKE) --no-print-directory --jobs=2 test-app test-slow
	$(MAKE) --no-print-directory test-ui

test-app test-slow test-ui: test-%: $(INSTALLED_DEV)
	$(PY) -m pytest tests/$* -n 2 --dist loadfile

# The next client lies in a folder of its own, in front of the installed one: transformers does not take it yet. The Hub
# browser is left out: there this client repeats a failed question itself, and its tests fail one question at a time.
HUB2_TESTS := tests/app/test_publish.py $(filter-out %_browse.py,$(wildcard tests/unit/test_publishing_*.py))
test-hub2: $(INSTALLED_DEV) $(HUB2)
	PYTHONPATH=$(abspath $(HUB2)) TEST_HUB_CLIENT=2 $(PY) -m pytest -n 2 --dist loadfile $(HUB2_TESTS)

$(HUB2): | $(PY)
	$(PY) -m pip install --quiet --target $@ 'huggingface_hub>=2,<3'

lint: $(INSTALLED_DEV)
	$(PY) -m ruff check .

# torch's CUDA packages are left out: torch pins them itself where it needs them, and a CPU build has none.
UV_COMPILE = $(PY) -m uv pip compile --quiet --upgrade --python-version 3.11 --annotation-style line \
	--custom-compile-command "make lock"
lock: $(INSTALLED_DEV)
	$(UV_COMPILE) requirements.in -o requirements.txt
	sed -i -e '/^nvidia-ml-py=/b' -e '/^\(nvidia-\|cuda-\|triton=\)/d' -e 's/^\(torch==[0-9.]*\)+cpu/\1/' \
		-e "s/^libgguf==[0-9.]*/& ; $$(sed -n 's/^libgguf.*; //p' requirements.in)/" requirements.txt
	$(UV_COMPILE) requirements-dev.in -c requirements.txt -o requirements-dev.txt

$(PY):
	$(if $(PYTHON),,$(error No Python 3.11 or newer found: install one, or name it with PYTHON=/path/to/python))
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): requirements.txt requirements-unsloth.txt | $(PY)
	@echo "Installing the studio into $(VENV): about 2 GB with a CPU build of torch, 7 GB with CUDA."
	$(PY) -m pip install -r requirements.txt
	$(PY) -m pip install --no-deps -r requirements-unsloth.txt
	@touch $@

$(INSTALLED_DEV): requirements-dev.txt $(INSTALLED)
	$(PY) -m pip install -r requirements-dev.txt
	@touch $@

chromium:
	@command -v chromium >/dev/null || { \
		if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
			apt-get update -q && apt-get install -q -y --no-install-recommends chromium; \
		else \
			echo "The browser tests need Chromium: sudo apt-get install chromium, then make test again."; exit 1; \
		fi; }
