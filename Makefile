# make setup        create .venv and install everything
# make quickstart   train and test STD-CL on synthetic skeletons (fails below 95 %)
# make test         run the tests
# make lint         run ruff
# make tables       write the tables and plots of README.md and docs/
# make docs         build the documentation site, docs/_build/html/index.html
# make clean        remove .venv and the site
PYTHON ?= python3
VENV ?= .venv
CONFIG := configs/stdcl/stdcl-stgcn_synthetic.py
WORK_DIR ?= work_dirs/stdcl-stgcn_synthetic

.PHONY: setup quickstart test lint tables docs clean

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -r requirements.txt
	touch $@

quickstart: setup
	$(VENV)/bin/python tools/train.py $(CONFIG) --work-dir $(WORK_DIR) --seed 0
	$(VENV)/bin/python tools/test.py $(CONFIG) \
		"$$(cat $(WORK_DIR)/last_checkpoint)" --work-dir $(WORK_DIR) \
		--dump $(WORK_DIR)/scores.npz
	$(VENV)/bin/python -c "import numpy, sys; \
		scores = numpy.load('$(WORK_DIR)/scores.npz'); \
		top1 = (scores['logits'].argmax(1) == scores['labels']).mean(); \
		top1 >= 0.95 or sys.exit(f'top-1 is {top1:.1%}, expected 95 %')"

test: setup
	$(VENV)/bin/python -m pytest

lint: setup
	$(VENV)/bin/ruff check .

tables: setup
	$(VENV)/bin/python -m runs.tables

docs: setup
	PYTHONWARNINGS=ignore $(VENV)/bin/sphinx-build -q -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) docs/_build
