/*
 * answer.h
 *	  What the connectors to an endpoint of the tenant's own choice share when
 *	  they read its document.
 */
#ifndef SAAS_CONNECTOR_ANSWER_H
#define SAAS_CONNECTOR_ANSWER_H

#include "connector/connector.h"

/*
 * The answer's media type for an error, as in " (text/html)": a body of another
 * type is most often a login page.  "" when there is none, when it is expected
 * ("application/json"; NULL: none is) and when it is not fit to be shown.
 */
extern const char *SaasAnswerType(SaasPoll *poll, const SaasResponse *response,
								  const char *expected);

/*
 * Ends the poll with the samples it has.  Samples whose own time is not
 * believed are counted in the details, a JSON object that facts begins ("{...",
 * without its brace); where no other is left the endpoint's clock is wrong, and
 * the poll fails with that.
 */
extern SaasStep SaasAnswerDone(SaasPoll *poll, const char *facts);

#endif							/* SAAS_CONNECTOR_ANSWER_H */
