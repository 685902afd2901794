/*
 * transfer_stage.c
 *	  How long each stage of a transfer took, and which one failed.
 */
#include "net/transfer_internal.h"

/* Microseconds from the start of the transfer; 0 when it did not come to that. */
static int64
moment(SaasTransfer *transfer, CURLINFO info)
{
	curl_off_t	at = 0;

	if (transfer->easy == NULL || curl_easy_getinfo(transfer->easy, info, &at) != CURLE_OK)
		return 0;
	return (int64) at;
}

static int
between_ms(int64 from, int64 to)
{
	return to <= from ? 0 : (int) ((to - from) / 1000);
}

/* As the error's text has it: what libcurl says of the moments comes late. */
static SaasStage
failed_stage(const SaasTransfer *transfer)
{
	if (transfer->fault == TRANSFER_FAULT_ADDRESS)
		return SAAS_STAGE_CONNECT;
	if (transfer->requesting_at != 0)
		return SAAS_STAGE_READ;
	switch (transfer->code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			return SAAS_STAGE_RESOLVE;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CERTPROBLEM:
			return SAAS_STAGE_TLS;
		default:
			break;
	}
	if (transfer->connecting_at == 0 && !transfer->seat.host->is_literal)
		return SAAS_STAGE_RESOLVE;
	return transfer->is_tls && transfer->connected_at != 0 ? SAAS_STAGE_TLS : SAAS_STAGE_CONNECT;
}

/* What came before the stage that failed was well; how long it took is not always known. */
static void
note_failure(SaasTransfer *transfer, SaasStages *stages)
{
	int64		took_ms = (SaasTransferNow() - transfer->started_at) / 1000;

	stages->failed = failed_stage(transfer);
	for (int i = 0; i < stages->failed; i++)
	{
		if (i == SAAS_STAGE_AUTHENTICATE || i == SAAS_STAGE_AUTHORIZE ||
			(i == SAAS_STAGE_TLS && !transfer->is_tls))
			continue;
		stages->ms[i] = Max(stages->ms[i], 0);
		took_ms -= stages->ms[i];
	}
	for (int i = stages->failed + 1; i < SAAS_STAGES; i++)
		stages->ms[i] = -1;
	stages->ms[stages->failed] = (int) Max(took_ms, 0);
}

void
SaasTransferStages(SaasTransfer *transfer)
{
	int64		resolved = moment(transfer, CURLINFO_NAMELOOKUP_TIME_T);
	int64		connected = moment(transfer, CURLINFO_CONNECT_TIME_T);
	int64		secured = transfer->is_tls ? moment(transfer, CURLINFO_APPCONNECT_TIME_T) : 0;
	int64		requested = moment(transfer, CURLINFO_PRETRANSFER_TIME_T);
	int64		answered = moment(transfer, CURLINFO_STARTTRANSFER_TIME_T);
	int64		ended = moment(transfer, CURLINFO_TOTAL_TIME_T);
	SaasStages	stages = SAAS_STAGES_NONE;

	if (resolved > 0)
		stages.ms[SAAS_STAGE_RESOLVE] = between_ms(0, resolved);
	if (connected > 0)
		stages.ms[SAAS_STAGE_CONNECT] = between_ms(resolved, connected);
	if (secured > 0)
		stages.ms[SAAS_STAGE_TLS] = between_ms(connected, secured);
	if (transfer->result.ok)
	{
		stages.ms[SAAS_STAGE_AUTHENTICATE] = between_ms(requested, answered);
		stages.ms[SAAS_STAGE_READ] = between_ms(answered, ended);
	}
	else
		note_failure(transfer, &stages);
	transfer->result.stages = stages;
}
