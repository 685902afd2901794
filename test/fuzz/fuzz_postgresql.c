/*
 * fuzz_postgresql.c
 *	  connector/postgresql_*.c: what a server answers to the queries (first byte
 *	  r), refusals of a session (x, then five bytes of SQLSTATE), configs (c).
 *
 * An answer is, for each query: a byte, odd for an error, which is five bytes of
 * SQLSTATE and a text; or the number of columns, of each its type and a text,
 * then the number of rows, of each the cells.  A text is a byte for its length
 * and the bytes; 255 stands for null.
 */
#include "connector/postgresql.h"
#include "polls.h"

#define QUERIES	(SAAS_POSTGRESQL_HEALTH_QUERIES + 2)

#define BASE	"\"host\":\"db.example.com\",\"dbname\":\"d\",\"user\":\"u\""

static const char config[] = "{" BASE ",\"queries\":[{\"name\":\"a\",\"query\":\"select 1\"},"
	"{\"name\":\"b\",\"query\":\"table t\"}]}";

typedef struct Input
{
	const uint8_t *at;
	size_t		left;
	SaasArena  *arena;
} Input;

static int
take_byte(Input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->at++;
}

/* As libpq gives it: bytes up to the first NUL, or null. */
static const char *
take_text(Input *input)
{
	size_t		length = (size_t) take_byte(input);
	char	   *text;

	if (length == 255)
		return NULL;
	if (length > input->left)
		length = input->left;
	text = SaasArenaStrndup(input->arena, (const char *) input->at, length);
	must(text != NULL);
	input->at += length;
	input->left -= length;
	return text;
}

static void
take_state(Input *input, char *state)
{
	for (int i = 0; i < 5; i++)
		state[i] = (char) take_byte(input);
	state[5] = '\0';
}

static void
take_rows(Input *input, SaasDatabaseResult *result)
{
	SaasDatabaseRow **link = &result->rows;
	int			count = take_byte(input);

	for (int i = 0; i < count; i++)
	{
		SaasDatabaseRow *row = SaasArenaAlloc(input->arena, sizeof(SaasDatabaseRow));

		must(row != NULL);
		row->cells = SaasArenaAlloc(input->arena, sizeof(char *) * (result->column_count + 1));
		must(row->cells != NULL);
		for (size_t column = 0; column < result->column_count; column++)
			row->cells[column] = take_text(input);
		*link = row;
		link = &row->next;
		result->row_count++;
	}
}

static void
take_result(Input *input, SaasDatabaseResult *result)
{
	if (take_byte(input) % 2 == 1)
	{
		take_state(input, result->sqlstate);
		result->message = take_text(input);
		return;
	}
	result->column_count = (size_t) take_byte(input) % 64;
	result->columns = SaasArenaAlloc(input->arena, sizeof(SaasDatabaseColumn) * (result->column_count + 1));
	must(result->columns != NULL);
	for (size_t i = 0; i < result->column_count; i++)
	{
		const char *name;

		result->columns[i].type = (SaasDatabaseType) (take_byte(input) % 4);
		name = take_text(input);
		result->columns[i].name = name != NULL ? name : "";
	}
	take_rows(input, result);
}

static void
check_verdict(const SaasPoll *poll)
{
	if (poll->verdict == SAAS_VERDICT_OK)
		must(poll->samples.count > 0);
	else
	{
		check_problem(&poll->problem);
		must(poll->samples.count == 0);
		must(strstr(poll->problem.message, SECRET) == NULL && strstr(poll->problem.detail, SECRET) == NULL);
	}
	check_samples(&poll->samples, MAX_SAMPLES);
	for (size_t i = 0; i < poll->samples.count; i++)
		must(isfinite(poll->samples.items[i].value));
}

/* They are an object that test_connection can carry. */
static void
check_details(const char *details)
{
	SaasProblem problem = {.sqlstate = ""};
	json_t	   *object;

	if (details == NULL)
		return;
	must(strlen(details) < 512 && strstr(details, SECRET) == NULL);
	object = SaasJsonRead(details, strlen(details), false, "the details", &problem);
	must(json_is_object(object));
	json_decref(object);
}

static void
read_answer(SaasArena *arena, const SaasDatabaseAnswer *given)
{
	const SaasConnector *connector = SaasConnectorFind("postgresql");
	SaasPoll	poll;

	must(start(connector, &poll, arena, config, "{\"password\":\"" SECRET "\"}", 0) == SAAS_STEP_ASK);
	must(poll.database.query_count == QUERIES);
	must(connector->read_rows(&poll, given) == SAAS_STEP_DONE);
	check_verdict(&poll);
	check_details(poll.details);
}

static void
fuzz_rows(Input *input)
{
	SaasDatabaseResult results[QUERIES];
	SaasDatabaseAnswer given = {.results = results};

	memset(results, 0, sizeof(results));
	given.server_version = take_byte(input) * 1000003;
	for (int i = 0; i < QUERIES; i++)
		take_result(input, &results[i]);
	read_answer(input->arena, &given);
}

static void
fuzz_refusal(Input *input)
{
	SaasDatabaseAnswer given = {.server_version = 0};

	take_state(input, given.refusal);
	if (given.refusal[0] == '\0')
		return;
	given.refusal_message = SaasArenaStrndup(input->arena, (const char *) input->at, input->left);
	read_answer(input->arena, &given);
}

/* What is valid is stored in a form that is valid and stays as it is, and names one host. */
static void
fuzz_config(SaasArena *arena, const char *text, size_t length)
{
	const SaasConnector *connector = SaasConnectorFind("postgresql");
	SaasValidation one;
	SaasValidation other;
	SaasPoll	poll = {.arena = arena, .now_ms = NOW_MS, .max_samples = MAX_SAMPLES};

	if (!validate(connector, &one, arena, SaasArenaStrndup(arena, text, length), NULL))
	{
		check_problem(&one.problem);
		must(strcmp(one.problem.sqlstate, "22023") == 0);
		return;
	}
	must(validate(connector, &other, arena, one.normalized, NULL));
	must(strcmp(one.normalized, other.normalized) == 0 && strcmp(one.origin, other.origin) == 0 &&
		 strcmp(one.account_key, other.account_key) == 0);
	poll.config = one.normalized;
	poll.secrets = &(SaasSecret) {"password", SECRET, NULL};
	must(connector->start(&poll) == SAAS_STEP_ASK);
	must(poll.database.security == SAAS_DATABASE_VERIFY_FULL);
	must(poll.database.host[0] != '\0' && strpbrk(poll.database.host, "/,@ %[]='\\") == NULL);
	must(poll.database.port > 0 && poll.database.port < 65536);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SaasArena  *arena = SaasArenaCreate(ARENA_SIZE);
	Input		input = {data + 1, size > 0 ? size - 1 : 0, arena};

	if (size > 0 && data[0] == 'r')
		fuzz_rows(&input);
	else if (size > 0 && data[0] == 'x')
		fuzz_refusal(&input);
	else if (size > 0 && data[0] == 'c')
		fuzz_config(arena, (const char *) data + 1, size - 1);
	must(SaasArenaUsed(arena) <= ARENA_SIZE);
	SaasArenaDestroy(arena);
	return 0;
}
