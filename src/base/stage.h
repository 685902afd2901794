/*
 * stage.h
 *	  The stages that a poll passes through, as saas_api.test_connection tells
 *	  them.
 */
#ifndef SAAS_STAGE_H
#define SAAS_STAGE_H

typedef enum SaasStage
{
	SAAS_STAGE_RESOLVE,
	SAAS_STAGE_CONNECT,
	SAAS_STAGE_TLS,
	SAAS_STAGE_AUTHENTICATE,	/* with the wait for the answer, which decides it */
	SAAS_STAGE_AUTHORIZE,
	SAAS_STAGE_READ,
	SAAS_STAGE_PARSE,
	SAAS_STAGES
} SaasStage;

typedef struct SaasStages
{
	int			ms[SAAS_STAGES];	/* -1: not reached, or not needed */
	int			failed;			/* a SaasStage; -1: none */
} SaasStages;

/* Nothing reached, nothing failed. */
#define SAAS_STAGES_NONE	{{-1, -1, -1, -1, -1, -1, -1}, -1}

#endif							/* SAAS_STAGE_H */
