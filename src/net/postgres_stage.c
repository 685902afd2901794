/*
 * postgres_stage.c
 *	  How long each stage of a session took, and which one failed.
 */
#include "net/postgres_internal.h"

void
SaasPostgresStageReach(PostgresSession *session, SaasStage stage)
{
	int64		now = SaasTransferNow();
	int		   *ms = &session->result.stages.ms[session->stage];

	if (session->stage == stage)
		return;
	/* The next address of a host begins anew: what the last one took is added. */
	*ms = Max(*ms, 0) + (int) ((now - session->stage_began) / 1000);
	session->stage = stage;
	session->stage_began = now;
}

/* A refusal is an answer: what it means is the reader's to say. */
void
SaasPostgresStageEnd(PostgresSession *session)
{
	SaasStages *stages = &session->result.stages;
	int		   *ms = &stages->ms[session->stage];

	*ms = Max(*ms, 0) + (int) ((SaasTransferNow() - session->stage_began) / 1000);
	for (int i = session->stage + 1; i < SAAS_STAGES; i++)
		stages->ms[i] = -1;
	stages->failed = session->result.ok ? -1 : (int) session->stage;
}
