/*
 * prometheus.c
 *	  Scrapes an endpoint that speaks the Prometheus text format or
 *	  OpenMetrics.
 */
#include <string.h>

#include "base/strbuf.h"
#include "connector/config.h"
#include "connector/kinds.h"
#include "connector/poll.h"
#include "pure/exposition.h"

#define MAX_CONTENT_TYPE	80	/* shown in an error */

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
	static const char accept[] =
		"application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.8,*/*;q=0.1";
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

/* A body of another type is most often a login page: say what came. */
static void
add_content_type(SaasPoll *poll, const char *content_type)
{
	SaasStrbuf	detail;
	const char *text;

	if (strlen(content_type) > MAX_CONTENT_TYPE || SaasPollHoldsSecret(poll, content_type))
		return;
	SaasStrbufInit(&detail, poll->arena);
	SaasStrbufAppendText(&detail, "{\"content_type\":");
	SaasStrbufAppendJson(&detail, content_type, strlen(content_type));
	SaasStrbufAppendChar(&detail, '}');
	text = SaasStrbufFinish(&detail);
	if (text != NULL)
		SaasProblemDetail(&poll->problem, "%s", text);
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
	{
		poll->samples.count = 0;
		SaasPollFail(poll, SAAS_VERDICT_ERROR, problem.sqlstate,
					 "the answer is not in the %s format: %s",
					 format == SAAS_EXPOSITION_OPENMETRICS ? "OpenMetrics" : "Prometheus text",
					 problem.message);
		add_content_type(poll, response->content_type);
		return SAAS_STEP_DONE;
	}
	if (poll->samples.count == 0)
		return SaasPollFail(poll, SAAS_VERDICT_ERROR, "08P01", "the answer holds no samples");
	poll->details = SaasArenaPrintf(poll->arena, "{\"samples\":%zu,\"format\":\"%s\"}",
									poll->samples.count,
									format == SAAS_EXPOSITION_OPENMETRICS ? "openmetrics" : "prometheus");
	return SaasPollDone(poll);
}

const SaasConnector SaasPrometheusConnector = {
	.kind = "prometheus",
	.title = "Prometheus",
	.secret_names = secret_names,
	.validate = validate,
	.start = start,
	.read = read_answer
};
