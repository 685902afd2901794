/*
 * aws_config.c
 *	  Checks the config of an AWS connection, and reads it back for a poll.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "connector/aws.h"
#include "connector/config.h"
#include "connector/kinds.h"
#include "connector/poll.h"
#include "pure/exposition.h"
#include "pure/json.h"

#define MAX_ROLE_ARN	2048
#define MAX_REGION		50
#define MAX_DIMENSIONS	30
#define MAX_DOMAINS		100
#define DEFAULT_PERIOD	300

static const char *const config_keys[] = {
	"account_id", "role_arn", "regions", "metrics", "stack_name", "ses_configuration_set",
	"ses_domains", "sts_endpoint", "cloudwatch_endpoint", NULL
};
static const char *const metric_keys[] = {
	"namespace", "name", "dimensions", "stat", "period", "region", NULL
};

/* Each divides the next, so that windows of one end where windows of another do. */
static const int periods[] = {60, 300, 900, 3600, 21600, 86400};

/* Metrics that a word stands for. */
static const char ses_preset[] =
"[{\"namespace\":\"AWS/SES\",\"name\":\"Send\"},{\"namespace\":\"AWS/SES\",\"name\":\"Bounce\"},"
"{\"namespace\":\"AWS/SES\",\"name\":\"Complaint\"},{\"namespace\":\"AWS/SES\",\"name\":\"Delivery\"}]";
static const char billing_preset[] =
"[{\"namespace\":\"AWS/Billing\",\"name\":\"EstimatedCharges\",\"dimensions\":{\"Currency\":\"USD\"},"
"\"stat\":\"Maximum\",\"period\":21600,\"region\":\"us-east-1\"}]";

static void
check_account(SaasConfig *config)
{
	SaasValidation *validation = config->validation;
	const char *account = SaasConfigText(config, config->object, "account_id", "account_id",
										 SAAS_CONFIG_MAX_TEXT, true);

	if (account == NULL)
		return;
	if (!SaasAwsIsAccount(account))
		SaasConfigError(config, "account_id", "must have 12 digits");
	else if (SaasAwsListHas(validation->aws_accounts, account))
		SaasConfigError(config, "account_id", "is an account of this service's own");
	validation->account_key = SaasArenaStrdup(validation->arena, account);
	validation->external_account_id = validation->account_key;
}

/* Moves behind the part when the text begins with it. */
static bool
skip(const char **text, const char *part)
{
	size_t		length = strlen(part);

	if (strncmp(*text, part, length) != 0)
		return false;
	*text += length;
	return true;
}

/* The domain of the partition's services; NULL when the role is malformed or another account's. */
static const char *
domain_of_role(const char *arn, const char *account)
{
	const char *domain = "amazonaws.com";

	if (skip(&arn, "arn:aws-cn:iam::"))
		domain = "amazonaws.com.cn";
	else if (!skip(&arn, "arn:aws:iam::") && !skip(&arn, "arn:aws-us-gov:iam::"))
		return NULL;
	if (!skip(&arn, account) || !skip(&arn, ":role/") || *arn == '\0')
		return NULL;
	return arn[strspn(arn, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@_/-")] == '\0' ?
		domain : NULL;
}

static void
check_role(SaasConfig *config)
{
	SaasValidation *validation = config->validation;
	const char *arn = SaasConfigText(config, config->object, "role_arn", "role_arn", MAX_ROLE_ARN, true);
	const char *domain;

	if (arn == NULL || validation->account_key == NULL)
		return;
	domain = domain_of_role(arn, validation->account_key);
	if (domain == NULL)
		SaasConfigError(config, "role_arn", "must be the ARN of a role of the account, as in arn:aws:iam::%.12s:role/name",
						validation->account_key);
	else
		validation->origin = SaasArenaPrintf(validation->arena, "https://%s:443", domain);
}

static bool
is_region(const char *text)
{
	size_t		length = strlen(text);

	return length > 0 && length <= MAX_REGION && strchr(text, '-') != NULL &&
		text[0] != '-' && text[length - 1] != '-' &&
		strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static void
check_regions(SaasConfig *config)
{
	json_t	   *regions = SaasConfigGet(config->object, "regions");
	size_t		count = json_array_size(regions);

	if (count == 0 || count > AWS_MAX_REGIONS / 2)
	{
		SaasConfigError(config, "regions", "must be an array of 1 to %d regions", AWS_MAX_REGIONS / 2);
		return;
	}
	for (size_t i = 0; i < count; i++)
	{
		const char *region = json_string_value(json_array_get(regions, i));

		if (region == NULL || !is_region(region))
		{
			SaasConfigError(config, "regions", "must hold names such as \"eu-west-1\"");
			return;
		}
		for (size_t j = 0; j < i; j++)
			if (strcmp(json_string_value(json_array_get(regions, j)), region) == 0)
			{
				SaasConfigError(config, "regions", "must not name a region twice");
				return;
			}
	}
}

static bool
is_stat(const char *stat)
{
	static const char *const names[] = {"Sum", "Average", "Minimum", "Maximum", "SampleCount", "IQM"};
	double		percentile;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(stat, names[i]) == 0)
			return true;
	return *stat == 'p' && strlen(stat) <= 12 && strspn(stat + 1, "0123456789.") == strlen(stat + 1) &&
		SaasNumberParse(stat + 1, strlen(stat + 1), &percentile) && percentile >= 0 && percentile <= 100;
}

static bool
is_period(json_int_t period)
{
	for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++)
		if (periods[i] == period)
			return true;
	return false;
}

/* Labels of the metric as they are stored; NULL when they are more or longer than fits. */
static const char *
labels_of(const char *region, json_t *dimensions, SaasArena *arena)
{
	SaasLabel	labels[MAX_DIMENSIONS + 1];
	size_t		count = 0;
	const char *name;
	json_t	   *value;

	labels[count++] = (SaasLabel) {"region", region};
	json_object_foreach(dimensions, name, value)
		if (count <= MAX_DIMENSIONS)
			labels[count++] = (SaasLabel) {SaasArenaStrdup(arena, name),
										   SaasArenaStrdup(arena, json_string_value(value))};
	for (size_t i = 0; i < count; i++)
		if (labels[i].name == NULL || labels[i].value == NULL)
			return NULL;
	return SaasLabelsToJson(labels, count, arena);
}

static void
check_dimensions(SaasConfig *config, json_t *metric, const char *field)
{
	json_t	   *dimensions = SaasConfigGet(metric, "dimensions");
	const char *name;
	json_t	   *value;

	/* Not json_object(): the server has a function of that name, which would be called. */
	if (dimensions == NULL)
		dimensions = json_pack("{}");
	else
		json_incref(dimensions);
	if (!json_is_object(dimensions) || json_object_size(dimensions) > MAX_DIMENSIONS)
		SaasConfigError(config, field, "must have dimensions that are an object of at most %d", MAX_DIMENSIONS);
	json_object_foreach(dimensions, name, value)
	{
		const char *text = json_string_value(value);

		if (text == NULL || *text == '\0' || *name == '\0' || strlen(text) > 1024 ||
			strlen(name) > SAAS_CONFIG_MAX_TEXT)
			SaasConfigError(config, field, "must have dimensions with names and texts as values");
		else if (strcmp(name, "region") == 0)
			SaasConfigError(config, field, "must not have a dimension \"region\": the label is taken");
	}
	if (json_is_object(dimensions) && labels_of("", dimensions, config->validation->arena) == NULL)
		SaasConfigError(config, field, "has dimensions that are too long");
	json_object_set_new(metric, "dimensions", dimensions);
}

static void
check_period(SaasConfig *config, json_t *metric, const char *field)
{
	json_t	   *period = SaasConfigGet(metric, "period");

	if (period == NULL)
		json_object_set_new(metric, "period", json_integer(DEFAULT_PERIOD));
	else if (!json_is_integer(period) || !is_period(json_integer_value(period)))
		SaasConfigError(config, field, "must have a period of 60, 300, 900, 3600, 21600 or 86400 seconds");
}

/* Printable ASCII, as CloudWatch names things. */
static const char *
check_name(SaasConfig *config, json_t *metric, const char *key, const char *field)
{
	const char *text = SaasConfigText(config, metric, key, field, SAAS_CONFIG_MAX_TEXT, true);

	for (const char *p = text; p != NULL && *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
		{
			SaasConfigError(config, field, "must have a %s of printable ASCII", key);
			return NULL;
		}
	return text;
}

/* Names its series, to find two that are the same. */
static void
check_series(SaasConfig *config, json_t *metric, const char *field, json_t *seen)
{
	SaasArena  *arena = config->validation->arena;
	const char *region = SaasJsonText(metric, "region");
	const char *name = SaasAwsMetricName(SaasJsonText(metric, "namespace"), SaasJsonText(metric, "name"),
										 SaasJsonText(metric, "stat"), arena);
	const char *labels = labels_of(region != NULL ? region : "", json_object_get(metric, "dimensions"), arena);
	const char *series = name != NULL && labels != NULL ? SaasArenaPrintf(arena, "%s%s", name, labels) : NULL;

	if (name != NULL && strlen(name) > SAAS_MAX_METRIC_LENGTH)
		SaasConfigError(config, field, "has a namespace, name and stat that are too long together");
	else if (series == NULL || json_object_get(seen, series) != NULL)
		SaasConfigError(config, field, "is there twice");
	else
		json_object_set_new(seen, series, json_true());
}

static void
check_metric(SaasConfig *config, json_t *metric, const char *field, json_t *seen)
{
	int			errors = config->errors;
	const char *stat;
	const char *region;

	if (!json_is_object(metric))
	{
		SaasConfigError(config, field, "must be an object, \"ses\" or \"billing\"");
		return;
	}
	SaasConfigRefuseUnknown(config, metric, metric_keys, field);
	(void) check_name(config, metric, "namespace", field);
	(void) check_name(config, metric, "name", field);
	if (SaasConfigGet(metric, "stat") == NULL)
		json_object_set_new(metric, "stat", json_string("Sum"));
	stat = SaasConfigText(config, metric, "stat", field, SAAS_CONFIG_MAX_TEXT, true);
	if (stat != NULL && !is_stat(stat))
		SaasConfigError(config, field, "must have a stat such as Sum, Average, Minimum, Maximum, SampleCount or p99");
	region = SaasConfigText(config, metric, "region", field, MAX_REGION, false);
	if (region != NULL && !is_region(region))
		SaasConfigError(config, field, "must have a region such as \"us-east-1\"");
	check_period(config, metric, field);
	check_dimensions(config, metric, field);
	if (config->errors == errors)
		check_series(config, metric, field, seen);
}

/* The metrics with objects in the place of presets; NULL when it is no array. */
static json_t *
expand_presets(const json_t *metrics)
{
	json_t	   *expanded = json_array();
	json_t	   *metric;
	size_t		i;

	json_array_foreach((json_t *) metrics, i, metric)
	{
		const char *word = json_string_value(metric);
		const char *preset = word == NULL ? NULL : strcmp(word, "ses") == 0 ? ses_preset :
			strcmp(word, "billing") == 0 ? billing_preset : NULL;
		json_t	   *list = preset != NULL ? json_loads(preset, 0, NULL) : NULL;

		if (list != NULL)
			json_array_extend(expanded, list);
		else
			json_array_append(expanded, metric);
		json_decref(list);
	}
	return expanded;
}

static size_t
count_series(SaasConfig *config, const json_t *metrics)
{
	size_t		given = json_array_size(SaasConfigGet(config->object, "regions"));
	size_t		count = 0;
	json_t	   *metric;
	size_t		i;

	json_array_foreach((json_t *) metrics, i, metric)
		count += SaasConfigGet(metric, "region") != NULL ? 1 : given;
	return count;
}

static void
check_metrics(SaasConfig *config)
{
	json_t	   *given = SaasConfigGet(config->object, "metrics");
	json_t	   *standard = given == NULL ? json_pack("[s]", "ses") : NULL;
	json_t	   *metrics = expand_presets(given != NULL ? given : standard);
	json_t	   *seen = json_pack("{}");
	json_t	   *regions = json_pack("{}");
	json_t	   *metric;
	size_t		i;

	json_decref(standard);
	if (json_array_size(metrics) == 0)
		SaasConfigError(config, "metrics", "must be an array that is not empty");
	json_array_foreach(metrics, i, metric)
	{
		char		field[32];

		snprintf(field, sizeof(field), "metrics[%zu]", i);
		check_metric(config, metric, field, seen);
		if (SaasJsonText(metric, "region") != NULL)
			json_object_set_new(regions, SaasJsonText(metric, "region"), json_true());
	}
	if (json_object_size(regions) > AWS_MAX_REGIONS / 2)
		SaasConfigError(config, "metrics", "must not name more than %d regions", AWS_MAX_REGIONS / 2);
	if (count_series(config, metrics) > AWS_MAX_SERIES)
		SaasConfigError(config, "metrics", "must not make more than %d series: metrics times regions", AWS_MAX_SERIES);
	json_object_set_new(config->object, "metrics", metrics);
	json_decref(seen);
	json_decref(regions);
}

static void
check_domains(SaasConfig *config)
{
	json_t	   *domains = SaasConfigGet(config->object, "ses_domains");
	json_t	   *domain;
	size_t		i;

	if (domains == NULL)
		return;
	if (!json_is_array(domains) || json_array_size(domains) > MAX_DOMAINS)
		SaasConfigError(config, "ses_domains", "must be an array of at most %d domains", MAX_DOMAINS);
	json_array_foreach(domains, i, domain)
	{
		const char *text = json_string_value(domain);

		if (text == NULL || *text == '\0' || strlen(text) > SAAS_CONFIG_MAX_TEXT ||
			strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_") != strlen(text))
		{
			SaasConfigError(config, "ses_domains", "must hold names of domains");
			return;
		}
	}
}

/* The endpoint's origin when it is given and allowed. */
static void
check_endpoint(SaasConfig *config, const char *key)
{
	SaasValidation *validation = config->validation;
	const char *origin;
	SaasUrl		url;

	if (SaasConfigGet(config->object, key) == NULL)
		return;
	origin = SaasConfigUrl(config, key, NULL, true, &url);
	if (origin == NULL)
		return;
	if (!SaasAwsListHas(validation->aws_endpoints, origin))
		SaasConfigError(config, key, "is not an endpoint that the operator allows");
	else if (validation->origin != NULL)
		validation->origin = SaasArenaPrintf(validation->arena, "%s %s", validation->origin, url.origin);
	SaasConfigNeedSecret(config, "access_key_id", "with an endpoint of one's own");
}

static void
check_keys(SaasConfig *config)
{
	if (SaasConfigSecret(config, "access_key_id") != NULL)
		SaasConfigNeedSecret(config, "secret_access_key", "with access_key_id");
	if (SaasConfigSecret(config, "secret_access_key") != NULL)
		SaasConfigNeedSecret(config, "access_key_id", "with secret_access_key");
}

bool
SaasAwsValidate(SaasValidation *validation)
{
	SaasConfig	config;

	if (!SaasConfigOpen(&config, validation, &SaasAwsConnector, config_keys))
		return SaasConfigClose(&config);
	check_account(&config);
	check_role(&config);
	check_regions(&config);
	check_metrics(&config);
	SaasConfigText(&config, config.object, "stack_name", "stack_name", SAAS_CONFIG_MAX_TEXT, false);
	SaasConfigText(&config, config.object, "ses_configuration_set", "ses_configuration_set",
				   SAAS_CONFIG_MAX_TEXT, false);
	check_domains(&config);
	check_endpoint(&config, "sts_endpoint");
	check_endpoint(&config, "cloudwatch_endpoint");
	check_keys(&config);
	return SaasConfigClose(&config);
}

/* The region among those of the poll, added when it is new; NULL when it cannot be one. */
static const char *
find_region(AwsState *state, const char *name, SaasArena *arena)
{
	for (size_t i = 0; name != NULL && i < state->region_count; i++)
		if (strcmp(state->regions[i].name, name) == 0)
			return state->regions[i].name;
	/* It becomes part of a host's name. */
	if (name == NULL || !is_region(name) || state->region_count == AWS_MAX_REGIONS)
		return NULL;
	state->regions[state->region_count].number = state->region_count;
	state->regions[state->region_count].name = SaasArenaStrdup(arena, name);
	return state->regions[state->region_count++].name;
}

/* {"Metric": {...}, "Period": 300, "Stat": "Sum"} */
static const char *
query_of(const json_t *metric, SaasArena *arena)
{
	json_t	   *dimensions = json_array();
	const char *name;
	json_t	   *value;
	json_t	   *query;
	char	   *text;
	const char *copy;

	json_object_foreach(json_object_get(metric, "dimensions"), name, value)
		json_array_append_new(dimensions, json_pack("{sssO}", "Name", name, "Value", value));
	query = json_pack("{s{sssssO}sIss}", "Metric", "Namespace", SaasJsonText(metric, "namespace"),
					  "MetricName", SaasJsonText(metric, "name"), "Dimensions", dimensions,
					  "Period", json_integer_value(json_object_get(metric, "period")),
					  "Stat", SaasJsonText(metric, "stat"));
	text = query != NULL ? json_dumps(query, JSON_COMPACT) : NULL;
	copy = SaasArenaStrdup(arena, text);
	free(text);
	json_decref(query);
	json_decref(dimensions);
	return copy;
}

static bool
read_metric(AwsState *state, AwsMetric *metric, const json_t *given, SaasArena *arena)
{
	const char *name_space = SaasJsonText(given, "namespace");
	const char *name = SaasJsonText(given, "name");
	const char *stat = SaasJsonText(given, "stat");
	const char *region = SaasJsonText(given, "region");

	if (name_space == NULL || name == NULL || stat == NULL)
		return false;
	metric->period_s = (int) json_integer_value(json_object_get(given, "period"));
	metric->query = query_of(given, arena);
	metric->metric = SaasAwsMetricName(name_space, name, stat, arena);
	metric->region = region != NULL ? find_region(state, region, arena) : NULL;
	metric->labels = SaasArenaAlloc(arena, AWS_MAX_REGIONS * sizeof(char *));
	if (metric->query == NULL || metric->metric == NULL || metric->labels == NULL ||
		!is_period(metric->period_s) || (region != NULL && metric->region == NULL))
		return false;
	for (size_t i = 0; i < state->region_count; i++)
		if (metric->region != NULL ? metric->region == state->regions[i].name : i < state->given_regions)
		{
			metric->labels[i] = labels_of(state->regions[i].name, json_object_get(given, "dimensions"), arena);
			if (metric->labels[i] == NULL)
				return false;
		}
	return true;
}

/* The given regions first: their numbers are below given_regions. */
static bool
read_lists(AwsState *state, const json_t *config, SaasArena *arena)
{
	json_t	   *metrics = json_object_get(config, "metrics");
	json_t	   *item;
	size_t		i;

	json_array_foreach(json_object_get(config, "regions"), i, item)
		if (find_region(state, json_string_value(item), arena) == NULL)
			return false;
	state->given_regions = state->region_count;
	json_array_foreach(metrics, i, item)
		if (SaasJsonText(item, "region") != NULL && find_region(state, SaasJsonText(item, "region"), arena) == NULL)
			return false;
	state->metrics = SaasArenaAlloc(arena, (json_array_size(metrics) + 1) * sizeof(AwsMetric));
	if (state->metrics == NULL || state->given_regions == 0 || json_array_size(metrics) > AWS_MAX_SERIES)
		return false;
	json_array_foreach(metrics, i, item)
		if (!read_metric(state, &state->metrics[state->metric_count++], item, arena))
			return false;
	return state->metric_count > 0;
}

static bool
read_whole(AwsState *state, const json_t *config, SaasArena *arena)
{
	state->account_id = SaasArenaStrdup(arena, SaasJsonText(config, "account_id"));
	state->role_arn = SaasArenaStrdup(arena, SaasJsonText(config, "role_arn"));
	state->endpoints.sts = SaasArenaStrdup(arena, SaasJsonText(config, "sts_endpoint"));
	state->endpoints.cloudwatch = SaasArenaStrdup(arena, SaasJsonText(config, "cloudwatch_endpoint"));
	if (state->account_id == NULL || state->role_arn == NULL || !SaasAwsIsAccount(state->account_id))
		return false;
	state->domain = domain_of_role(state->role_arn, state->account_id);
	return state->domain != NULL && read_lists(state, config, arena);
}

bool
SaasAwsReadConfig(SaasPoll *poll, AwsState *state)
{
	json_t	   *config = SaasPollConfig(poll);
	bool		is_whole;

	if (config == NULL)
		return false;
	is_whole = json_is_object(config) && read_whole(state, config, poll->arena);
	json_decref(config);
	if (!is_whole)
		SaasPollFail(poll, SAAS_VERDICT_ERROR, "22023", "the stored config lacks what an AWS connection needs");
	return is_whole;
}
