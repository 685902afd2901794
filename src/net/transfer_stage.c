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

static SaasStage
failed_stage(SaasTransfer *transfer, int64 resolved, int64 connected, int64 secured)
{
	if (transfer->fault == TRANSFER_FAULT_ADDRESS)
		return SAAS_STAGE_CONNECT;
	if (connected == 0)
		return resolved == 0 && !transfer->host->is_literal ? SAAS_STAGE_RESOLVE : SAAS_STAGE_CONNECT;
	if (transfer->is_tls && secured == 0)
		return SAAS_STAGE_TLS;
	return SAAS_STAGE_READ;
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

	/* Of a transfer that ends before its time libcurl does not tell all. */
	if (!transfer->result.ok)
	{
		if (connected == 0 && transfer->connected_at != 0)
			connected = transfer->connected_at - transfer->admitted_at;
		ended = SaasTransferNow() - transfer->admitted_at;
	}
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
	{
		SaasStage	failed = failed_stage(transfer, resolved, connected, secured);

		stages.failed = failed;
		stages.ms[failed] = between_ms(failed == SAAS_STAGE_RESOLVE ? 0 :
									   failed == SAAS_STAGE_CONNECT ? resolved :
									   failed == SAAS_STAGE_TLS ? connected : requested, ended);
	}
	transfer->result.stages = stages;
}
