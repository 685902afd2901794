/*
 * polls.h
 *	  Drives a connector with what a fuzzer makes, and checks what holds of
 *	  every poll whatever came.
 */
#ifndef SAAS_FUZZ_POLLS_H
#define SAAS_FUZZ_POLLS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "connector/connector.h"
#include "pure/json.h"

#define ARENA_SIZE	((size_t) 16 * 1024 * 1024)
#define NOW_MS		INT64_C(1762950960442)
#define MAX_SAMPLES	500
#define SECRET		"hunter22"	/* every secret of a fuzzed connection holds it */

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void
must(bool condition)
{
	if (!condition)
		abort();
}

static inline void
check_problem(const SaasProblem *problem)
{
	must(strlen(problem->sqlstate) == 5 && problem->message[0] != '\0');
	must(SaasUtf8IsValid(problem->message, strlen(problem->message)));
	for (const char *p = problem->message; *p != '\0'; p++)
		must((unsigned char) *p >= 0x20 && *p != 0x7F);
}

/* Labels are what the store takes: an object of strings, sorted bytewise, of bounded length. */
static inline void
check_labels(const char *labels)
{
	SaasProblem problem = {.sqlstate = ""};
	size_t		length = strlen(labels);
	json_t	   *object;
	const char *name;
	json_t	   *value;
	char	   *again;

	must(length <= SAAS_MAX_LABELS_LENGTH && SaasUtf8IsValid(labels, length));
	object = SaasJsonRead(labels, length, false, "labels", &problem);
	must(json_is_object(object));
	json_object_foreach(object, name, value)
		must(json_is_string(value));
	again = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
	must(again != NULL);
	free(again);
	json_decref(object);
}

static inline void
check_samples(const SaasSampleList *samples, size_t max)
{
	must(samples->count <= max);
	for (size_t i = 0; i < samples->count; i++)
	{
		const SaasSample *sample = &samples->items[i];
		size_t		length = strlen(sample->metric);

		must(length > 0 && length <= SAAS_MAX_METRIC_LENGTH && SaasUtf8IsValid(sample->metric, length));
		check_labels(sample->labels);
		must(!sample->has_time ||
			 (sample->time_ms >= SAAS_MIN_TIME_MS && sample->time_ms <= SAAS_MAX_TIME_MS));
	}
}

/* A request that can be sent: nothing in it ends a line. */
static inline void
check_request(const SaasRequest *request)
{
	must(request->method != NULL && request->url != NULL && strncmp(request->url, "https://", 8) == 0);
	for (const char *p = request->url; *p != '\0'; p++)
		must(*p > ' ' && *p != 0x7F);
	for (const SaasHeader *header = request->headers; header != NULL; header = header->next)
	{
		must(SaasHttpIsToken(header->name));
		for (const char *p = header->value; *p != '\0'; p++)
			must((unsigned char) *p >= 0x20 && *p != 0x7F);
	}
	must(request->body != NULL || request->body_length == 0);
}

static inline bool
validate(const SaasConnector *connector, SaasValidation *validation, SaasArena *arena,
		 const char *config, const char *secrets)
{
	*validation = (SaasValidation) {.arena = arena, .config = config, .secrets = secrets};
	return connector->validate(validation);
}

/* The first step of a poll of that valid config; expires_ms is its token's. */
static inline SaasStep
start(const SaasConnector *connector, SaasPoll *poll, SaasArena *arena, const char *config,
	  const char *secrets, int64_t expires_ms)
{
	SaasValidation validation;

	must(validate(connector, &validation, arena, config, secrets));
	*poll = (SaasPoll) {
		.arena = arena, .config = validation.normalized, .secrets = validation.secret_list,
		.now_ms = NOW_MS, .max_samples = MAX_SAMPLES, .token_expires_ms = expires_ms
	};
	return connector->start(poll);
}

/* What holds of a poll that has ended. */
static inline void
check_end(const SaasPoll *poll)
{
	if (poll->verdict != SAAS_VERDICT_OK)
	{
		check_problem(&poll->problem);
		must(poll->samples.count == 0);
		must(strstr(poll->problem.message, SECRET) == NULL && strstr(poll->problem.detail, SECRET) == NULL);
	}
	check_samples(&poll->samples, MAX_SAMPLES);
	must(poll->details == NULL || SaasUtf8IsValid(poll->details, strlen(poll->details)));
}

/* Hands it an answer, and checks what it makes of it. */
static inline SaasStep
answer(const SaasConnector *connector, SaasPoll *poll, int status, const char *body, size_t length)
{
	char	   *copy = malloc(length + 1);
	SaasResponse response = {
		.status = status, .content_type = "application/json", .body = copy, .body_length = length
	};
	SaasStep	step;

	must(copy != NULL);
	memcpy(copy, body, length);
	copy[length] = '\0';
	step = connector->read(poll, &response);
	memset(copy, '~', length);	/* nothing may point into the answer */
	free(copy);

	must(step == SAAS_STEP_STORE ? poll->new_secrets != NULL : true);
	if (step != SAAS_STEP_DONE)
	{
		check_request(&poll->request);
		return step;
	}
	must(poll->verdict != SAAS_VERDICT_OK || poll->samples.count > 0);
	check_end(poll);
	return step;
}

#endif							/* SAAS_FUZZ_POLLS_H */
