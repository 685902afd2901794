/*
 * engine_queue.c
 *	  Jobs that wait for a transfer: organizations take turns.
 *
 * In its turn an organization starts as many jobs as its weight says, then it
 * is the next one's turn, and none has more than saas.poller_max_per_org under
 * way: who has ten thousand connections, all of them slow, does not delay who
 * has one.  Claims go by the same turns (store/claim.c).
 */
#include "postgres.h"

#include "state/settings.h"
#include "utils/memutils.h"
#include "worker/engine_internal.h"

/*
 * One place in so many is kept for organizations that have no more under way
 * than a turn's polls: two large ones whose upstreams hang, each below its
 * limit, would otherwise hold all places until they time out.
 */
#define RESERVED_PART	8

void
SaasEngineQueueInit(SaasEngine *engine)
{
	HASHCTL		control = {
		.keysize = sizeof(pg_uuid_t),.entrysize = sizeof(SaasEngineOrg),.hcxt = engine->context
	};

	engine->orgs = hash_create("pg_saas organizations of an engine", 256, &control,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&engine->turns);
}

static SaasEngineOrg *
org_of(SaasEngine *engine, const SaasJob *job)
{
	bool		found;
	SaasEngineOrg *org = hash_search(engine->orgs, &job->org_id, HASH_ENTER, &found);

	if (!found)
		memset((char *) org + sizeof(pg_uuid_t), 0, sizeof(*org) - sizeof(pg_uuid_t));
	return org;
}

/* Gives the organization a turn, or takes it away. */
static void
set_turn(SaasEngine *engine, SaasEngineOrg *org)
{
	bool		may_start = org->first != NULL && org->started < saas_poller_max_per_org;

	if (may_start && !org->has_turn)
		dlist_push_tail(&engine->turns, &org->turn);
	else if (!may_start && org->has_turn)
		dlist_delete(&org->turn);
	org->has_turn = may_start;
}

void
SaasEngineQueueAdd(SaasEngine *engine, SaasJob *job, bool is_urgent)
{
	SaasEngineOrg *org = org_of(engine, job);

	org->weight = Max(job->weight, 1);
	job->next = is_urgent ? org->first : NULL;
	if (org->first == NULL)
		org->first = org->last = job;
	else if (is_urgent)
		org->first = job;
	else
		org->last = org->last->next = job;
	org->count++;
	engine->waiting_count++;
	set_turn(engine, org);
}

/* Lets the organization go on with its turn, or gives the turn to the next one. */
static void
end_or_go_on(SaasEngine *engine, SaasEngineOrg *org)
{
	if (++org->in_turn < org->weight && org->first != NULL && org->started < saas_poller_max_per_org)
	{
		dlist_push_head(&engine->turns, &org->turn);
		org->has_turn = true;
		return;
	}
	org->in_turn = 0;
	set_turn(engine, org);
}

SaasJob *
SaasEngineQueueTake(SaasEngine *engine)
{
	SaasEngineOrg *org;
	SaasJob    *job;

	if (dlist_is_empty(&engine->turns))
		return NULL;
	org = dlist_container(SaasEngineOrg, turn, dlist_pop_head_node(&engine->turns));
	org->has_turn = false;
	job = org->first;
	org->first = job->next;
	job->next = NULL;
	org->started++;
	engine->waiting_count--;
	end_or_go_on(engine, org);
	return job;
}

void
SaasEngineQueueEnd(SaasEngine *engine, SaasJob *job)
{
	SaasEngineOrg *org = org_of(engine, job);

	org->started--;
	set_turn(engine, org);
}

bool
SaasEngineQueueLend(SaasEngine *engine, SaasJob *job, bool is_more)
{
	if (org_of(engine, job)->started >= saas_poller_max_per_org ||
		(is_more && !dlist_is_empty(&engine->turns)))
		return false;
	SaasEngineQueueHold(engine, job);
	return true;
}

void
SaasEngineQueueHold(SaasEngine *engine, SaasJob *job)
{
	SaasEngineOrg *org = org_of(engine, job);

	org->started++;
	set_turn(engine, org);
}

void
SaasEngineQueueRemove(SaasEngine *engine, SaasJob *job)
{
	SaasEngineOrg *org = org_of(engine, job);

	if (--org->count == 0)
		(void) hash_search(engine->orgs, &job->org_id, HASH_REMOVE, NULL);
}

void
SaasEngineQueueTerms(SaasEngine *engine, SaasClaimTerms *terms, int *room)
{
	long		orgs = hash_get_num_entries(engine->orgs);
	pg_uuid_t  *full = palloc(sizeof(pg_uuid_t) * Max(orgs, 1));
	pg_uuid_t  *busy = palloc(sizeof(pg_uuid_t) * Max(orgs, 1));
	int		   *polls = palloc(sizeof(int) * Max(orgs, 1));
	HASH_SEQ_STATUS scan;
	SaasEngineOrg *org;

	*terms = (SaasClaimTerms) {
		.worker = engine->worker, .workers = Max(engine->workers, 1), .max_per_org = saas_poller_max_per_org,
		.full = full, .busy = busy, .busy_polls = polls,
		.last_org = engine->last_org, .last_polls = engine->last_polls, .was_long = engine->was_long
	};
	*room = saas_poller_max_in_flight;
	hash_seq_init(&scan, engine->orgs);
	while ((org = hash_seq_search(&scan)) != NULL)
	{
		/* What waits beyond an organization's share takes nobody's place. */
		*room -= Min(org->count, saas_poller_max_per_org);
		if (org->count >= saas_poller_max_per_org)
			full[terms->full_count++] = org->org_id;
		else
		{
			busy[terms->busy_count] = org->org_id;
			polls[terms->busy_count++] = org->count;
		}
	}
	terms->reserved = Min(saas_poller_max_in_flight / RESERVED_PART, Max(*room, 0));
}

void
SaasEngineQueueFreeTerms(SaasClaimTerms *terms)
{
	pfree((void *) terms->full);
	pfree((void *) terms->busy);
	pfree((void *) terms->busy_polls);
}

void
SaasEngineQueueNoteTurns(SaasEngine *engine, const SaasJob *jobs)
{
	const SaasJob *last = jobs;

	if (jobs == NULL)
		return;
	while (last->next)
		last = last->next;
	engine->last_org = last->org_id;
	engine->last_polls = (int) ((last->place - 1) % Max(last->weight, 1)) + 1;
}
