# PGXS build of pg_saas.  The extension script is the parts of sql/functions in
# the order below; the migrations of sql/schema are wrapped into one function.

EXTENSION = pg_saas
EXTENSION_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" pg_saas.control)

LAYERS = base pure server state net connector store worker sql
OBJS = src/pg_saas.o $(patsubst %.c,%.o,$(foreach layer,$(LAYERS),$(sort $(wildcard src/$(layer)/*.c))))
MODULE_big = pg_saas

FUNCTIONS = schemas errors ids vault identity requests install passwords accounts mail sessions second_factor \
	recovery logins organizations api_keys account_deletion profile branding organization_settings organization_profile \
	organization_resolve organization_lifecycle onboarding deal_scoring connections connection_groups connection_tokens \
	poller retention rollups metric_cells metrics figures charts dashboards costs exports saved_views readers aws limits token_keys \
	audit rotation members invitations roles protect_catalog protect unprotect guard isolation_checks harden \
	proof_actors proof_values proof_rows proof_scene proof_keys proof_attacks proof_functions isolation_proof schedules migrations grants
FUNCTION_FILES = $(FUNCTIONS:%=sql/functions/%.sql)
SCHEMA_FILES = $(sort $(wildcard sql/schema/[0-9]*.sql))
DATA_FILES = $(wildcard sql/data/*.txt)
SCRIPT = pg_saas--$(EXTENSION_VERSION).sql

DATA_built = $(SCRIPT)
EXTRA_CLEAN = $(SCRIPT) sql/functions/migrations.sql build

XML_CPPFLAGS := $(shell pkg-config --cflags libxml-2.0 2>/dev/null || xml2-config --cflags)
XML_LIBS := $(shell pkg-config --libs libxml-2.0 2>/dev/null || xml2-config --libs)
LIBPQ_CPPFLAGS := $(shell pkg-config --cflags libpq 2>/dev/null || $(or $(PG_CONFIG),pg_config) --includedir | sed 's/^/-I/')

PG_CPPFLAGS = -Isrc -DPG_SAAS_VERSION='"$(EXTENSION_VERSION)"' -DPG_SAAS_SCHEMA_VERSION=$(words $(SCHEMA_FILES)) $(XML_CPPFLAGS)
PG_CFLAGS = -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-clobbered
ifdef PG_SAAS_WERROR
PG_CFLAGS += -Werror
endif
SHLIB_LINK = -lpq -lcurl -ljansson -lssl -lcrypto $(XML_LIBS)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(PGXS),)
include $(PGXS)
endif

$(SCRIPT): $(FUNCTION_FILES) Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION pg_saas" to load this file. \quit'; \
	  cat $(FUNCTION_FILES); } > $@

sql/functions/migrations.sql: $(SCHEMA_FILES) $(DATA_FILES) tools/wrap-migrations
	tools/wrap-migrations $(SCHEMA_FILES) > $@.tmp && mv $@.tmp $@

# Every header is a dependency of every object: a full build takes seconds.
$(OBJS): $(wildcard src/*.h src/*/*.h) pg_saas.control

# Holds the number of the newest migration.
src/store/claim.o: $(SCHEMA_FILES)

# The directory also holds a c.h and others of some server: only where libpq is, and last.
src/net/postgres_%.o src/net/postgres_%.bc: CPPFLAGS += $(LIBPQ_CPPFLAGS)

.PHONY: demo test test-peers lint bench
demo:
	scripts/demo
test:
	test/run
test-peers:
	test/run --peers
lint:
	tools/lint
bench:
	test/load/run
