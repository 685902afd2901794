/*
 * polls.h
 *	  Drives a connector by hand: validates a config, gives it secrets, and
 *	  hands it answers.
 */
#ifndef SAAS_TEST_POLLS_H
#define SAAS_TEST_POLLS_H

#include <string.h>

#include "connector/connector.h"

#define TEST_NOW_MS		INT64_C(1762950960442)

static SaasArena *arena;
static SaasValidation validation;
static SaasPoll poll;
static SaasHeader answer_header;

static inline void
start_over(void)
{
	SaasArenaDestroy(arena);
	arena = SaasArenaCreate(8 * 1024 * 1024);
	memset(&validation, 0, sizeof(validation));
	memset(&poll, 0, sizeof(poll));
	memset(&answer_header, 0, sizeof(answer_header));
}

/* Secrets may be NULL: unchecked. */
static inline bool
validate_with(const char *kind, const char *config, const char *secrets, bool allow_http)
{
	start_over();
	validation.arena = arena;
	validation.config = config;
	validation.secrets = secrets;
	validation.allow_http = allow_http;
	return SaasConnectorFind(kind)->validate(&validation);
}

/* The first step of a poll of a valid config. */
static inline SaasStep
start_poll(const char *kind, const char *config, const char *secrets)
{
	if (!validate_with(kind, config, secrets, false))
		return SAAS_STEP_DONE;
	poll.arena = arena;
	poll.config = validation.normalized;
	poll.secrets = validation.secret_list;
	poll.now_ms = TEST_NOW_MS;
	poll.max_samples = SAAS_POLL_MAX_SAMPLES;
	return SaasConnectorFind(kind)->start(&poll);
}

static inline SaasStep
answer_bytes(const char *kind, int status, const char *type, const char *body, size_t length)
{
	SaasResponse response = {
		.status = status,
		.content_type = type,
		.body = body,
		.body_length = length,
		.headers = answer_header.name != NULL ? &answer_header : NULL
	};

	return SaasConnectorFind(kind)->read(&poll, &response);
}

static inline SaasStep
answer(const char *kind, int status, const char *body)
{
	return answer_bytes(kind, status, "application/json", body, strlen(body));
}

static inline const char *
sent_header(const char *name)
{
	for (const SaasHeader *header = poll.request.headers; header != NULL; header = header->next)
		if (strcmp(header->name, name) == 0)
			return header->value;
	return NULL;
}

static inline const char *
secret_of(const SaasSecret *list, const char *name)
{
	for (; list != NULL; list = list->next)
		if (strcmp(list->name, name) == 0)
			return list->value;
	return NULL;
}

/* The sample of that metric and labels, NULL when there is none. */
static inline const SaasSample *
sample_of(const char *metric, const char *labels)
{
	for (size_t i = 0; i < poll.samples.count; i++)
		if (strcmp(poll.samples.items[i].metric, metric) == 0 &&
			strcmp(poll.samples.items[i].labels, labels) == 0)
			return &poll.samples.items[i];
	return NULL;
}

static inline bool
has_value(const char *metric, const char *labels, double value)
{
	const SaasSample *sample = sample_of(metric, labels);

	return sample != NULL && sample->value == value;
}

/* Whether any part of the problem, or the details, shows the text. */
static inline bool
is_shown(const SaasProblem *problem, const char *text)
{
	return strstr(problem->message, text) != NULL || strstr(problem->detail, text) != NULL ||
		strstr(problem->hint, text) != NULL ||
		(poll.details != NULL && strstr(poll.details, text) != NULL);
}

#endif							/* SAAS_TEST_POLLS_H */
