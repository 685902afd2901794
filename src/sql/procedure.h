/*
 * procedure.h
 *	  Procedures that commit between their steps.
 */
#ifndef SAAS_PROCEDURE_H
#define SAAS_PROCEDURE_H

#include "postgres.h"

#include "fmgr.h"
#include "worker/engine.h"

/* Errors with 2D000, naming the procedure, inside a transaction block. */
extern void SaasProcedureRequireTop(FunctionCallInfo fcinfo, const char *name);

/* Begins and commits; connect SPI with SPI_OPT_NONATOMIC and SPI_commit() once before. */
extern const SaasEngineHost SaasProcedureHost;

#endif							/* SAAS_PROCEDURE_H */
