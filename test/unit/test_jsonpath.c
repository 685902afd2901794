/*
 * test_jsonpath.c
 *	  pure/jsonpath.c: what paths select, and texts that are no paths.
 */
#include "pure/jsonpath.h"

#include "files.h"
#include "tap.h"

static const char document[] =
"{\"a\": {\"b\": [{\"c\": 1, \"n\": \"one\"}, {\"c\": 2, \"n\": \"two\"}, {\"x\": 3}]},"
" \"k-1\": 4, \"with space\": 5, \"q\\\"'\\\\.\": 6, \"é\": 7, \"0\": 8,"
" \"m\": [[1, 2], [], [3], 4], \"o\": {\"y\": 9, \"x\": 10}, \"\": 11, \"nil\": null}";

static SaasArena *arena;
static json_t *root;
static size_t budget = 100000;

/* What a path selects, as one line of JSON. */
static const char *
select_text(const char *text)
{
	SaasProblem problem = {.sqlstate = ""};
	SaasJsonPath *path = SaasJsonPathParse(text, arena, &problem);
	SaasJsonMatch *matches;
	size_t		count;
	json_t	   *list;
	char	   *dump;
	const char *copy;

	if (path == NULL)
		return SaasArenaStrdup(arena, problem.message);
	if (!SaasJsonPathSelect(path, root, arena, 100, &budget, &matches, &count))
		return "too many";
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append(list, matches[i].value);
	if (count > 0 && SaasJsonPathFirst(path, root, &budget) != matches[0].value)
		return "the first differs";
	dump = json_dumps(list, JSON_COMPACT);
	copy = SaasArenaStrdup(arena, dump);
	free(dump);
	json_decref(list);
	return copy;
}

static void
test_selection(void)
{
	static const struct
	{
		const char *path;
		const char *selected;
	}			cases[] = {
		{"$.a.b[0].c", "[1]"},
		{"$.a.b[1]['n']", "[\"two\"]"},
		{"$[\"a\"][\"b\"][2].x", "[3]"},
		{"$.a.b[*].c", "[1,2]"},
		{"$.a.b[*]", "[{\"c\":1,\"n\":\"one\"},{\"c\":2,\"n\":\"two\"},{\"x\":3}]"},
		{"$.a.b[-1].x", "[3]"},
		{"$.a.b[-3].c", "[1]"},
		{"$.a.b[-4].c", "[]"},
		{"$.a.b[3]", "[]"},
		{"$.k-1", "[4]"},
		{"$[\"with space\"]", "[5]"},
		{"$[\"q\\\"'\\\\.\"]", "[6]"},
		{"$['q\"\\'\\\\.']", "[6]"},
		{"$.é", "[7]"},
		{"$.0", "[8]"},
		{"$[0]", "[]"},
		{"$.m[*][*]", "[1,2,3]"},
		{"$.m.*.*", "[1,2,3]"},
		{"$.m[*][0]", "[1,3]"},
		{"$.o.*", "[9,10]"},
		{"$.o[*]", "[9,10]"},
		{"$[\"\"]", "[11]"},
		{"$.nil", "[null]"},
		{"$.nil.x", "[]"},
		{"$.a.b.c", "[]"},
		{"$.a.b.c.d.e.f", "[]"},
		{"$.missing", "[]"},
		{"$.k-1[*]", "[]"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_text(select_text(cases[i].path), cases[i].selected, "%s", cases[i].path);
}

static void
test_refused(void)
{
	static const char *const paths[] = {
		"", "a", ".a", "$a", "$.", "$..a", "$.a.", "$[", "$[]", "$[a]", "$[1", "$['a'", "$['a",
		"$['a\\", "$['a\\n']", "$[1:2]", "$[?(@.a)]", "$[1,2]", "$[-]", "$[1234567890]", "$ .a",
		"$.a b", "$.a[ 0]", "$.*a", "$$", "@@", "$.a@.b"
	};
	char		text[SAAS_JSONPATH_MAX_LENGTH + 8];

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
	{
		SaasProblem problem = {.sqlstate = ""};

		ok(SaasJsonPathParse(paths[i], arena, &problem) == NULL &&
		   strcmp(problem.sqlstate, "22023") == 0, "\"%s\" is no path: %s", paths[i],
		   problem.message);
	}
	is_text(select_text("$.a[b]"), "expected an index, a quoted name or * at character 5",
			"the message has the place");

	memset(text, 'x', sizeof(text));
	memcpy(text, "$.", 2);
	text[SAAS_JSONPATH_MAX_LENGTH] = '\0';
	is_text(select_text(text), "[]", "a path of 1,024 bytes");
	text[SAAS_JSONPATH_MAX_LENGTH] = 'x';
	text[SAAS_JSONPATH_MAX_LENGTH + 1] = '\0';
	is_text(select_text(text), "the path is longer than 1024 bytes", "and one of 1,025");
	for (int steps = 32; steps <= 33; steps++)
	{
		text[0] = '$';
		for (int i = 0; i < steps; i++)
			memcpy(text + 1 + i * 3, "[*]", 3);
		text[1 + steps * 3] = '\0';
		is_text(select_text(text), steps == 32 ? "[]" : "too many steps at character 98",
				"%d steps", steps);
	}
}

static void
test_elements(void)
{
	SaasProblem problem;
	SaasJsonPath *path = SaasJsonPathParse("$.a.b[*].c", arena, &problem);
	SaasJsonPath *name = SaasJsonPathParse("@.n", arena, &problem);
	SaasJsonPath *plain = SaasJsonPathParse("$.o.x", arena, &problem);
	SaasJsonMatch *matches;
	size_t		count;

	ok(SaasJsonPathHasWildcard(path) && !SaasJsonPathIsRelative(path) &&
	   !SaasJsonPathHasWildcard(name) && SaasJsonPathIsRelative(name), "kinds of paths");
	ok(SaasJsonPathSelect(path, root, arena, 2, &budget, &matches, &count) && count == 2, "two matches");
	is_text(json_string_value(SaasJsonPathFirst(name, matches[1].element, &budget)), "two",
			"a path from the wildcard's element");
	ok(!SaasJsonPathSelect(path, root, arena, 1, &budget, &matches, &count), "more matches than allowed");
	ok(SaasJsonPathSelect(plain, root, arena, 2, &budget, &matches, &count) && matches[0].element == root,
	   "without a wildcard the element is the start");
	budget = 7;
	ok(!SaasJsonPathSelect(path, root, arena, 100, &budget, &matches, &count) && budget == 0,
	   "no more values are looked at than allowed");
	ok(SaasJsonPathFirst(plain, root, &budget) == NULL, "and then none");
	budget = 100000;
	ok(SaasJsonPathFirst(name, NULL, &budget) == NULL, "nothing is selected from nothing");
}

static void
test_spoilt(void)
{
	static const char text[] = "$.a.b[*][\"with space\"]['q'].é[-10].*[0]";
	uint64_t	state = 3;
	size_t		parsed = 0;

	for (int i = 0; i < 20000; i++)
	{
		size_t		enough = 1000;
		SaasArena  *own = SaasArenaCreate(65536);
		SaasProblem problem;
		size_t		length;
		char	   *spoilt = spoil(text, sizeof(text) - 1, &state, &length);
		char	   *copy = strndup(spoilt, length);
		SaasJsonPath *path = SaasJsonPathParse(copy, own, &problem);

		if (path != NULL)
		{
			SaasJsonPathFirst(path, root, &enough);
			parsed++;
		}
		free(copy);
		free(spoilt);
		SaasArenaDestroy(own);
	}
	ok(parsed > 0 && parsed < 20000, "of 20000 spoilt paths %zu are paths and none crashes", parsed);
}

int
main(void)
{
	arena = SaasArenaCreate(1024 * 1024);
	root = json_loads(document, 0, NULL);
	ok(root != NULL, "the document is JSON");
	test_selection();
	test_refused();
	test_elements();
	test_spoilt();
	json_decref(root);
	SaasArenaDestroy(arena);
	return tap_done();
}
