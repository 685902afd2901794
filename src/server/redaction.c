/*
 * redaction.c
 *	  Keeping malformed input out of the server log.
 */
#include "postgres.h"

#include "server/redaction.h"
#include "tcop/tcopprot.h"

#define QUOTED_CONTEXT	"JSON data, line"

static emit_log_hook_type previous_hook = NULL;

/* Removes the lines of the context that quote the document, in place. */
static void
strip_context(char *context)
{
	char	   *line = context;
	char	   *kept = context;

	while (*line != '\0')
	{
		Size		length = strcspn(line, "\n");
		Size		whole = length + (line[length] == '\n');

		if (strncmp(line, QUOTED_CONTEXT, strlen(QUOTED_CONTEXT)) != 0)
		{
			memmove(kept, line, whole);
			kept += whole;
		}
		line += whole;
	}
	*kept = '\0';
}

static bool
quotes_a_document(const ErrorData *error)
{
	return error->context != NULL && strstr(error->context, QUOTED_CONTEXT) != NULL;
}

static bool
is_about_us(void)
{
	return debug_query_string != NULL && strstr(debug_query_string, "saas") != NULL;
}

/* No memory is allocated and nothing is looked up: an error is being reported. */
static void
redact(ErrorData *error)
{
	if (quotes_a_document(error) && is_about_us())
	{
		error->detail = NULL;
		error->detail_log = NULL;
		strip_context(error->context);
		if (error->context[0] == '\0')
			error->context = NULL;
	}
	if (previous_hook)
		previous_hook(error);
}

void
SaasRedactionInit(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = redact;
}
