/*
 * prometheus.c
 *	  Scrapes an endpoint that speaks the Prometheus text format or
 *	  OpenMetrics.
 */
#include <string.h>

#include "connector/answer.h"
#include "connector/config.h"
#include "connector/kinds.h"
#include "connector/poll.h"
#include "pure/exposition.h"

static const char *const config_keys[] = {"url", NULL};
static const char *const secret_names[] = {
	"bearer_token", "username", "password", "ca_certificate", "client_certificate", "client_key", NULL
};

static void
check_secrets(SaasConfig *config)
{
	SaasConfigCheckCertificates(config);
	if (SaasConfigSecret(config, "bearer_token") != NULL)
	{
		SaasConfigRefuseSecret(config, "username", "together with bearer_token");
		SaasConfigRefuseSecret(config, "password", "together with bearer_token");
		return;
	}
	if (SaasConfigSecret(config, "username") != NULL)
		SaasConfigNeedSecret(config, "password", "with username");
	if (SaasConfigSecret(config, "password") != NULL)
		SaasConfigNeedSecret(config, "username", "with password");
	SaasConfigCheckBasicUser(config);
}

static bool
validate(SaasValidation *validation)
{
	SaasConfig	config;
	SaasUrl		url;

	if (!SaasConfigOpen(&config, validation, &SaasPrometheusConnector, config_keys))
		return SaasConfigClose(&config);
	validation->account_key = SaasConfigUrl(&config, "url", NULL, false, &url);
	if (validation->account_key != NULL)
		validation->origin = url.origin;
	check_secrets(&config);
	return SaasConfigClose(&config);
}

static bool
add_credentials(SaasPoll *poll)
{
	const char *token = SaasPollSecret(poll, "bearer_token");
	const char *user = SaasPollSecret(poll, "username");
	const char *password = SaasPollSecret(poll, "password");

	if (token != NULL)
		return SaasPollAddBearer(poll, token);
	return user == NULL || password == NULL || SaasPollAddBasic(poll, user, password);
}

static SaasStep
start(SaasPoll *poll)
{
	/* As Prometheus 3 asks, without protobuf: names beyond ASCII come as they are. */
	static const char accept[] =
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
		"application/openmetrics-text;version=1.0.0;q=0.5,"
		"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
		"text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
	json_t	   *config = SaasPollConfig(poll);
	const char *url = json_string_value(json_object_get(config, "url"));
	bool		ready;

	if (config == NULL)
		return SAAS_STEP_DONE;
	ready = url != NULL && SaasPollRequest(poll, "GET", url, accept) && add_credentials(poll);
	json_decref(config);
	if (!ready)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023",
							"no request can be made of the stored config and secrets");
	return SAAS_STEP_REQUEST;
}

/* Why the body gave no samples; too many of them are no fault of its format. */
static SaasStep
fail_parse(SaasPoll *poll, const SaasResponse *response, SaasExpositionFormat format,
		   const SaasProblem *problem)
{
	poll->samples.count = 0;
	if (strcmp(problem->sqlstate, "54000") == 0)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, problem->sqlstate,
							"the answer holds more than %zu samples, the most that a poll may yield",
							poll->max_samples);
	if (strcmp(problem->sqlstate, "53200") == 0)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, problem->sqlstate, "%s", problem->message);
	return SaasPollFail(poll, SAAS_VERDICT_ERROR, problem->sqlstate,
						"the answer%s is not in the %s format: %s",
						SaasAnswerType(poll, response, format == SAAS_EXPOSITION_OPENMETRICS ?
									   "application/openmetrics-text" : "text/plain"),
						format == SAAS_EXPOSITION_OPENMETRICS ? "OpenMetrics" : "Prometheus text",
						problem->message);
}

static SaasStep
read_answer(SaasPoll *poll, const SaasResponse *response)
{
	SaasExpositionFormat format = SaasExpositionFormatOf(response->content_type);
	SaasProblem problem = {.sqlstate = ""};

	if (response->status < 200 || response->status > 299)
		return SaasPollFailStatus(poll, response, "the endpoint", NULL);
	if (!SaasExpositionParse(response->body, response->body_length, format, poll->arena,
							 poll->max_samples, &poll->samples, &problem))
		return fail_parse(poll, response, format, &problem);
	if (poll->samples.count == 0)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer%s holds no samples",
							SaasAnswerType(poll, response, "text/plain"));
	return SaasAnswerDone(poll, SaasArenaPrintf(poll->arena, "{\"samples\":%zu,\"format\":\"%s\"",
												poll->samples.count,
												format == SAAS_EXPOSITION_OPENMETRICS ?
												"openmetrics" : "prometheus"));
}

const SaasConnector SaasPrometheusConnector = {
	.kind = "prometheus",
	.title = "Prometheus",
	.secret_names = secret_names,
	.validate = validate,
	.start = start,
	.read = read_answer
};
