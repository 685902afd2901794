# Builds the fuzz targets of test/fuzz with clang's libFuzzer and sanitizers.
# Run from the repository's root: make -f test/lib/fuzz.mk
BUILD = build/fuzz
FUZZ_CC = clang

XML_CPPFLAGS := $(shell pkg-config --cflags libxml-2.0 2>/dev/null || xml2-config --cflags)
XML_LIBS := $(shell pkg-config --libs libxml-2.0 2>/dev/null || xml2-config --libs)

FUZZ_CFLAGS = -std=gnu99 -g -O1 -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=all \
	-Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
FUZZ_CPPFLAGS = -D_GNU_SOURCE $(XML_CPPFLAGS) -Isrc -MMD -MP -MF $@.d
FUZZ_LIBS = -lcrypto -ljansson $(XML_LIBS) -lm

OBJECTS = $(patsubst src/%.c,$(BUILD)/%.o,$(wildcard src/base/*.c src/pure/*.c src/connector/*.c))
TARGETS = $(patsubst test/fuzz/%.c,$(BUILD)/%,$(wildcard test/fuzz/fuzz_*.c))

all: $(TARGETS)

$(OBJECTS): $(BUILD)/%.o: src/%.c test/lib/fuzz.mk
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link $(FUZZ_CPPFLAGS) -c -o $@ $<

$(TARGETS): $(BUILD)/%: test/fuzz/%.c $(OBJECTS) test/lib/fuzz.mk
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $(FUZZ_CPPFLAGS) -o $@ $< $(OBJECTS) $(FUZZ_LIBS)

.PHONY: all
.DELETE_ON_ERROR:

-include $(addsuffix .d,$(OBJECTS) $(TARGETS))
