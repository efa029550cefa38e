# make quickstart   set up and train and test STD-CL on the embedded data
# make test         set up and run the tests
# make setup        set up only
# make tables       write the tables that are made from configs and records
PYTHON ?= python3
VENV ?= .venv
CONFIG := configs/stdcl/stdcl-stgcn_synthetic.py
WORK_DIR ?= work_dirs/stdcl-stgcn_synthetic

.PHONY: setup quickstart test lint tables clean

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -r requirements.txt
	touch $@

quickstart: setup
	$(VENV)/bin/python tools/train.py $(CONFIG) --work-dir $(WORK_DIR) --seed 0
	$(VENV)/bin/python tools/test.py $(CONFIG) \
		"$$(cat $(WORK_DIR)/last_checkpoint)" --work-dir $(WORK_DIR)

test: setup
	$(VENV)/bin/python -m pytest

lint: setup
	$(VENV)/bin/ruff check .

tables: setup
	$(VENV)/bin/python tools/analysis/results_table.py
	$(VENV)/bin/python tools/analysis/config_index.py
	$(VENV)/bin/python tools/experiments/study_report.py
	$(VENV)/bin/python tools/experiments/model_zoo.py

clean:
	rm -rf $(VENV)
