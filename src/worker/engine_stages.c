/*
 * engine_stages.c
 *	  How far a poll came, for whoever tests a connection.
 *
 * The network's stages come with each transfer; what the answer means for the
 * others shows in its status and in the connector's verdict.
 */
#include "postgres.h"

#include "portability/instr_time.h"
#include "server/uuidv7.h"
#include "worker/engine_internal.h"

static void
add(SaasStages *stages, SaasStage stage, int ms)
{
	if (ms >= 0)
		stages->ms[stage] = Max(stages->ms[stage], 0) + ms;
}

/* Into the log and not to the client, if it is a session that polls. */
void
SaasEngineNoteRefusal(const SaasJob *job, const char *refused)
{
	if (refused == NULL)
		return;
	ereport(LOG_SERVER_ONLY,
			(errmsg("connection %s of organization %s leads to an address that is not allowed",
					SaasUuidText(&job->connection_id), SaasUuidText(&job->org_id)),
			 errdetail_log("The address is %s.", refused)));
}

void
SaasEngineNoteTransfer(SaasJob *job, const SaasTransferResult *result)
{
	for (int i = 0; i < SAAS_STAGES; i++)
		add(&job->stages, (SaasStage) i, result->stages.ms[i]);
	job->stages.failed = result->stages.failed;
	/* A later request that fails on the network leaves the answers before it to speak for themselves. */
	job->http_status = result->ok ? result->response.status : 0;
	SaasEngineNoteRefusal(job, result->refused);
}

static SaasStage
refused_at(const SaasJob *job)
{
	if (job->poll.verdict == SAAS_VERDICT_REAUTH || job->http_status == 401)
		return SAAS_STAGE_AUTHENTICATE;
	if (job->http_status == 403)
		return SAAS_STAGE_AUTHORIZE;
	if (job->http_status < 200 || job->http_status > 299)
		return SAAS_STAGE_READ;
	return SAAS_STAGE_PARSE;
}

/* The verdict of an answer, whose reader began at that time. */
static void
note_reading(SaasJob *job, instr_time begun)
{
	instr_time	took;

	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, begun);
	add(&job->stages, SAAS_STAGE_AUTHORIZE, 0);
	add(&job->stages, SAAS_STAGE_PARSE, (int) INSTR_TIME_GET_MILLISEC(took));
}

SaasStep
SaasEngineRead(SaasJob *job, const SaasResponse *response)
{
	instr_time	begun;
	SaasStep	step;

	INSTR_TIME_SET_CURRENT(begun);
	step = job->connector->read(&job->poll, response);
	note_reading(job, begun);
	if (step == SAAS_STEP_DONE && job->poll.verdict != SAAS_VERDICT_OK)
		job->stages.failed = refused_at(job);
	return step;
}

/* Where the server's SQLSTATE says that it stopped; "" is none: its rows are no samples. */
static SaasStage
stopped_at(const char *sqlstate)
{
	if (strncmp(sqlstate, "28", 2) == 0)
		return SAAS_STAGE_AUTHENTICATE;
	if (strcmp(sqlstate, "42501") == 0 || strcmp(sqlstate, "3D000") == 0)
		return SAAS_STAGE_AUTHORIZE;
	return sqlstate[0] != '\0' ? SAAS_STAGE_READ : SAAS_STAGE_PARSE;
}

SaasStep
SaasEngineReadRows(SaasJob *job, const SaasDatabaseAnswer *answer)
{
	const char *sqlstate = answer->refusal[0] != '\0' ? answer->refusal : answer->results[0].sqlstate;
	instr_time	begun;
	SaasStep	step;

	INSTR_TIME_SET_CURRENT(begun);
	step = job->connector->read_rows(&job->poll, answer);
	note_reading(job, begun);
	if (step == SAAS_STEP_DONE && job->poll.verdict != SAAS_VERDICT_OK)
		job->stages.failed = stopped_at(sqlstate);
	return step;
}

void
SaasEngineNoteLane(SaasFlight *flight, const SaasTransferResult *result)
{
	for (int i = 0; i < SAAS_STAGES; i++)
		add(&flight->stages, (SaasStage) i, result->stages.ms[i]);
	flight->stages.failed = result->stages.failed;
	flight->http_status = result->ok ? result->response.status : 0;
	SaasEngineNoteRefusal(flight->job, result->refused);
}

SaasStep
SaasEngineReadLane(SaasFlight *flight, const SaasResponse *response)
{
	SaasJob    *job = flight->job;
	instr_time	begun;
	instr_time	took;
	SaasStep	step;

	INSTR_TIME_SET_CURRENT(begun);
	step = job->connector->read_lane(&job->poll, flight->lane, response);
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, begun);
	if (response == NULL)
		return step;
	add(&flight->stages, SAAS_STAGE_AUTHORIZE, 0);
	add(&flight->stages, SAAS_STAGE_PARSE, (int) INSTR_TIME_GET_MILLISEC(took));
	return step;
}

/* Lanes go at the same time: of each stage the longest counts. */
void
SaasEngineNoteJoin(SaasJob *job, SaasStep step)
{
	SaasStages	longest = SAAS_STAGES_NONE;

	job->http_status = 0;		/* the lanes' before are answered */
	for (int i = 0; i < job->flight_count; i++)
	{
		const SaasFlight *flight = &job->flights[i];

		for (int stage = 0; stage < SAAS_STAGES; stage++)
			longest.ms[stage] = Max(longest.ms[stage], flight->stages.ms[stage]);
		if (flight->stages.failed >= 0)
			longest.failed = flight->stages.failed;
		if (flight->http_status != 200 || job->http_status == 0)
			job->http_status = flight->http_status;
	}
	for (int stage = 0; stage < SAAS_STAGES; stage++)
		add(&job->stages, (SaasStage) stage, longest.ms[stage]);
	job->stages.failed = -1;
	if (step == SAAS_STEP_DONE && job->poll.verdict != SAAS_VERDICT_OK)
		job->stages.failed = longest.failed >= 0 ? longest.failed : (int) refused_at(job);
}
