/*
 * guarded.h
 *	  Running a step that may fail without failing the transaction.
 */
#ifndef SAAS_GUARDED_H
#define SAAS_GUARDED_H

#include "postgres.h"

#include "base/problem.h"

/*
 * Runs the function in a subtransaction.  An ERROR rolls it back and becomes
 * the problem (message and SQLSTATE only: a DETAIL may hold values); a cancel
 * or shutdown passes on.
 */
extern bool SaasGuardedRun(void (*function) (void *), void *arg, SaasProblem *problem);

#endif							/* SAAS_GUARDED_H */
