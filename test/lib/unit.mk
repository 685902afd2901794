# Builds the unit tests of the layers that know no PostgreSQL, with sanitizers.
# Run from the repository's root: make -f test/lib/unit.mk
BUILD = build/unit

XML_CPPFLAGS := $(shell pkg-config --cflags libxml-2.0 2>/dev/null || xml2-config --cflags)
XML_LIBS := $(shell pkg-config --libs libxml-2.0 2>/dev/null || xml2-config --libs)

UNIT_CFLAGS = -std=gnu99 -g -O1 -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=all \
	-Wall -Wextra -Werror -Wmissing-prototypes -Wdeclaration-after-statement \
	-Wpointer-arith -Wimplicit-fallthrough -Wno-format-truncation \
	-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-Wno-maybe-uninitialized -Wno-stringop-truncation
UNIT_CPPFLAGS = -D_GNU_SOURCE $(XML_CPPFLAGS) -Isrc -Itest/unit -MMD -MP -MF $@.d
UNIT_LIBS = -lcrypto -ljansson $(XML_LIBS) -lm

LAYERS = $(wildcard src/base/*.c src/pure/*.c src/connector/*.c)
OBJECTS = $(LAYERS:src/%.c=$(BUILD)/%.o)
TESTS = $(patsubst test/unit/%.c,$(BUILD)/%,$(wildcard test/unit/test_*.c))

all: $(TESTS)

$(OBJECTS): $(BUILD)/%.o: src/%.c test/lib/unit.mk
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) $(UNIT_CPPFLAGS) -c -o $@ $<

$(TESTS): $(BUILD)/%: test/unit/%.c $(OBJECTS) test/lib/unit.mk
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) $(UNIT_CPPFLAGS) -o $@ $< $(OBJECTS) $(UNIT_LIBS)

.PHONY: all
.DELETE_ON_ERROR:

-include $(addsuffix .d,$(OBJECTS) $(TESTS))
