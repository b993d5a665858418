# make demo   the git history of this checkout as a provable ledger
# make test   everything that CI runs
# See `make help`.

PG_CONFIG ?= pg_config
PG ?= 15
export PG

.PHONY: help setup demo serve test test-short test-all test-upgrade test-packages torture fuzz package bench install installcheck clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo                     turn this git history into a ledger, prove and tamper'
	@echo '                              (KEEP=1: leave its server running)'
	@echo 'make serve                    the same, served over HTTP with its explorer (PORT=8080)'
	@echo 'make test                     format, lints, all tests, golden SQL tests, demo'
	@echo '                              (PG=16, 17 or 18: on that major version; default 15)'
	@echo 'make test-short               what another major version could break soonest'
	@echo 'make test-all                 make test on 15, 16, 17 and 18, then test-upgrade'
	@echo 'make test-upgrade             pg_upgrade of a live ledger from 16 to 18, verified'
	@echo 'make torture                  kill -9 under load, ROUNDS=200 times, from a SEED; full disks, stopped statements'
	@echo 'make fuzz                     what reads foreign bytes, SECONDS_EACH=60, TARGET=name or all'
	@echo 'make bench                    measure appends, write bench/RESULTS.md'
	@echo 'make package                  Debian packages of the extension (PG=NN) and of the tools'
	@echo 'make test-packages            install, try and purge them in a new Debian (as root)'
	@echo 'make install PG_CONFIG=…      build and install the extension into that PostgreSQL'
	@echo 'make installcheck             golden SQL tests against an installed server (PGHOST, PGPORT, PGUSER)'
	@echo 'make setup                    as root: install what building needs; else: say what is missing'
	@echo 'make clean                    remove what was built, and the last demo'
	@echo
	@echo 'demo, test and bench run throw-away servers from a private copy of PostgreSQL; they'
	@echo 'touch no other cluster and write nothing under /usr.'

setup:
	@scripts/setup

demo: setup
	@scripts/demo

serve: setup
	@scripts/demo --serve

test: setup
	@scripts/test

test-short: setup
	@scripts/test short

test-all:
	@for major in 15 16 17 18; do $(MAKE) --no-print-directory test PG=$$major || exit 1; done
	@$(MAKE) --no-print-directory test-upgrade

test-upgrade:
	@scripts/test-upgrade

torture: setup
	@scripts/torture

fuzz: setup
	@scripts/fuzz $(TARGET)

package: setup
	@scripts/package

test-packages: setup
	@scripts/test-packages

bench: setup
	@scripts/private-pg bench/run

install:
	@scripts/install '$(PG_CONFIG)'

installcheck:
	@scripts/installcheck '$(PG_CONFIG)'

clean:
	@scripts/demo --remove
	cargo clean
