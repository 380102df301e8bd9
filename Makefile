# Every target sets up what it needs: a virtual environment in $(VENV) with the versions of $(CONSTRAINTS), and the wheel
# of this checkout installed in it. Tests run on that wheel, from a folder where the rooms cannot be imported by bare name.

PYTHON ?= python3
VENV := .venv
CONSTRAINTS := constraints.txt
EXTRAS := train,test,lint
BIN := $(CURDIR)/$(VENV)/bin
ELSEWHERE := build/elsewhere
ROOMS := kd2m_theory estimators bounds validation paper_figures
SOURCES := $(shell find $(ROOMS) -name '*.py' -not -path '*/benchmarks/*') $(wildcard $(addprefix validation/benchmarks/*.,json parquet)) \
	$(shell find $(ROOMS) -name '*.toml') kd2m_theory/py.typed kd2m_theory/reporting/references.toml kd2m_theory/reporting/report.css pyproject.toml README.md LICENSE

.PHONY: help demo docs figures test tests long lowest newest browser-test lint types format benchmark gpu evidence clean

help:
	@echo "make demo       train on real digits, audit both students, draw the ladder (kd2m-demo/)"
	@echo "make test       lint, format check, packaging guards, doctests, tests"
	@echo "make types      strict types of everything that is installed"
	@echo "make long       what make test leaves out: whole campaigns and trainings, killed and distributed runs, second members of a kind, more examples"
	@echo "make docs       build the site into build/site/, warnings are errors"
	@echo "make browser-test  the page of an audit and the site in a real browser; needs a Chromium"
	@echo "make figures    draw every figure of the papers that can be made here, and ours (kd2m-figures/); fail if a page of docs/ and its tables differ"
	@echo "make format     let ruff rewrite the sources"
	@echo "make lowest     the tests with the lowest versions that pyproject.toml admits, in .venv-lowest; downloads 3 GB"
	@echo "make newest     the tests with the newest versions, in .venv-newest; downloads 3 GB"
	@echo "make benchmark  measure the tables of validation/benchmarks/, time and memory beside peers and of audits of every size, and write docs/benchmarks.md from them"
	@echo "make gpu        everything that waits for a GPU, within MINUTES=8, into validation/benchmarks/gpu.json; in small without one"
	@echo "make evidence   make long, and in MINUTES=60 more: adversarial rows, hostile transport and files, coverage, large audits; continues where it stopped"

demo: $(VENV)/.installed
	$(BIN)/kd2m demo

figures: $(VENV)/.installed
	$(BIN)/python -P -m kd2m_theory.validation.stored_parts docs/quick-start.md docs/campaign.md docs/benchmarks.md docs/evidence.md
	$(BIN)/kd2m figures --out kd2m-figures

test: lint tests

# Only the plugins that are named: pytest rewrites every module of the others, Hypothesis and anyio, in each process.
tests: $(VENV)/.installed
	cd $(ELSEWHERE) && OMP_NUM_THREADS=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(BIN)/python -P -m pytest \
		-p xdist.plugin -p _hypothesis_pytestplugin -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) \
		-n 2 --dist worksteal --pyargs kd2m_theory $(CURDIR)/tests $(PYTEST)

# Whole campaigns and trainings, what kills, interrupts or distributes whole processes, second members of a kind, and more
# examples of every law: too long for every run, and continuous integration runs it too.
long:
	$(MAKE) tests PYTEST="-m long $(PYTEST)"
	$(MAKE) tests PYTEST="-m 'hypothesis and not long' --hypothesis-profile=many $(PYTEST)"

build/.long: $(VENV)/.installed
	$(MAKE) long
	touch $@

# Old libraries use what newer ones deprecate: with them, such a warning is no error.
lowest:
	$(MAKE) tests VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt EXTRAS=train,test \
		PYTEST="-W default::DeprecationWarning -W default::FutureWarning $(PYTEST)"

newest:
	$(MAKE) tests VENV=.venv-newest CONSTRAINTS= EXTRAS=train,test

browser-test: docs
	$(BIN)/python -m pip install -q $(addprefix -c ,$(CONSTRAINTS)) "$$(echo build/wheel/*.whl)[browser]"
	cd $(ELSEWHERE) && KD2M_BROWSER=required $(BIN)/python -P -m pytest -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) \
		$(CURDIR)/tests/reporting/test_page_in_browser.py $(CURDIR)/tests/docs/test_site_in_browser.py $(PYTEST)

docs: $(VENV)/.installed
	$(BIN)/python -m pip install -q $(addprefix -c ,$(CONSTRAINTS)) "$$(echo build/wheel/*.whl)[docs,train]"
	rm -rf build/site
	cd $(ELSEWHERE) && OMP_NUM_THREADS=1 $(BIN)/python -P -m sphinx -q -j auto -W --keep-going -E -b html -d $(CURDIR)/build/doctrees \
		$(CURDIR)/docs $(CURDIR)/build/site
	@echo "build/site/index.html"

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	mkdir -p $(ELSEWHERE)
	cd $(ELSEWHERE) && $(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p kd2m_theory

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/.installed
	for name in transport losses mmd gaussian audit_scale glyphs steps unikd engine widths label_plans; do \
		$(BIN)/python validation/benchmarks/$$name.py --save validation/benchmarks/$$name.json || exit 1; done
	$(BIN)/python validation/benchmarks/demonstration.py --save validation/benchmarks
	$(BIN)/python -P -m kd2m_theory.validation.stored_parts docs/benchmarks.md --from validation/benchmarks --write

gpu: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python validation/benchmarks/gpu.py --minutes $(or $(MINUTES),8)

# A failure that it finds is exit status 1; finished blocks stay in build/evidence, so a rerun continues.
evidence: $(VENV)/.installed build/.long
	$(BIN)/python -P -m kd2m_theory.validation.evidence --minutes $(or $(MINUTES),60)

$(VENV)/.environment: $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(addprefix -c ,$(CONSTRAINTS)) pip setuptools
	touch $@

# setuptools would carry deleted modules over from its own build folder; wheels of older versions would be picked up.
$(VENV)/.installed: $(VENV)/.environment $(SOURCES)
	rm -rf build/lib build/bdist.* build/wheel *.egg-info
	$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w build/wheel .
	$(BIN)/python -m pip install -q $(addprefix -c ,$(CONSTRAINTS)) "$$(echo build/wheel/*.whl)[$(EXTRAS)]"
	$(BIN)/python -m pip install -q --no-deps --force-reinstall build/wheel/*.whl
	mkdir -p $(ELSEWHERE)
	touch $@

clean:
	rm -rf build $(VENV) .venv-lowest .venv-newest *.egg-info
