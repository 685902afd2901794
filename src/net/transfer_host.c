/*
 * transfer_host.c
 *	  Who waits at a host, and whose turn it is.
 *
 * Owners with something to do at a host are its parties.  They take turns, and
 * a part of the host's places is kept for those that have none.  A seat is one
 * transfer's, or one session's with a database: it waits at the host, then has
 * a place, and is given back.
 */
#include "net/transfer_internal.h"

#include "common/hashfn.h"

/*
 * One connection in so many to a host is kept for owners that have none: whose
 * requests to a host that many use hang does not keep the others from it.
 */
#define RESERVED_PART			8

void
SaasTransferHostsInit(TransferHosts *hosts, int max_per_host)
{
	hosts->max_per_host = Max(max_per_host, 1);
	dlist_init(&hosts->crowd);
	for (int i = 0; i < SAAS_TRANSFER_HOST_BUCKETS; i++)
		dlist_init(&hosts->buckets[i]);
}

static TransferHost *
find_host(TransferHosts *hosts, const char *origin)
{
	uint32		hash = hash_bytes((const unsigned char *) origin, (int) strlen(origin));
	dlist_head *bucket = &hosts->buckets[hash % SAAS_TRANSFER_HOST_BUCKETS];
	TransferHost *host;
	dlist_iter	iter;

	dlist_foreach(iter, bucket)
	{
		host = dlist_container(TransferHost, bucket_node, iter.cur);
		if (host->hash == hash && strcmp(host->origin, origin) == 0)
			return host;
	}

	host = calloc(1, sizeof(TransferHost));
	if (host == NULL)
		return NULL;
	host->origin = strdup(origin);
	if (host->origin == NULL)
	{
		free(host);
		return NULL;
	}
	host->hash = hash;
	dlist_init(&host->parties);
	dlist_init(&host->turns);
	dlist_push_tail(bucket, &host->bucket_node);
	return host;
}

static void
leave_host(TransferSeat *seat)
{
	TransferParty *party = seat->party;
	TransferHost *host = seat->host;

	seat->party = NULL;
	seat->host = NULL;
	if (party != NULL && --party->seats == 0)
	{
		dlist_delete(&party->party_node);
		free(party);
	}
	if (--host->seats == 0)
	{
		dlist_delete(&host->bucket_node);
		free(host->origin);
		free(host);
	}
}

static TransferParty *
find_party(TransferHost *host, uint64 owner)
{
	TransferParty *party;
	dlist_iter	iter;

	dlist_foreach(iter, &host->parties)
	{
		party = dlist_container(TransferParty, party_node, iter.cur);
		if (party->owner == owner)
			return party;
	}
	party = calloc(1, sizeof(TransferParty));
	if (party == NULL)
		return NULL;
	party->owner = owner;
	dlist_init(&party->waiting);
	dlist_push_head(&host->parties, &party->party_node);
	return party;
}

bool
SaasTransferSeatWait(TransferHosts *hosts, TransferSeat *seat, const char *origin, uint64 owner)
{
	TransferHost *host = find_host(hosts, origin);
	TransferParty *party;

	if (host == NULL)
		return false;
	seat->host = host;
	seat->has_place = false;
	host->seats++;
	seat->party = party = find_party(host, owner);
	if (party == NULL)
	{
		leave_host(seat);
		return false;
	}
	party->seats++;
	if (dlist_is_empty(&host->turns))
		dlist_push_tail(&hosts->crowd, &host->crowd_node);
	if (dlist_is_empty(&party->waiting))
		dlist_push_tail(&host->turns, &party->turn_node);
	dlist_push_tail(&party->waiting, &seat->waiting_node);
	return true;
}

/* Whose turn it is at the host; NULL: nobody's before one of its seats is left. */
static TransferParty *
next_party(const TransferHosts *hosts, TransferHost *host)
{
	int			left = hosts->max_per_host - host->active;
	dlist_iter	iter;

	if (left <= 0)
		return NULL;
	dlist_foreach(iter, &host->turns)
	{
		TransferParty *party = dlist_container(TransferParty, turn_node, iter.cur);

		if (party->active == 0 || left > hosts->max_per_host / RESERVED_PART)
			return party;
	}
	return NULL;
}

TransferSeat *
SaasTransferSeatFirst(TransferParty *party)
{
	return dlist_container(TransferSeat, waiting_node, dlist_head_node(&party->waiting));
}

TransferSeat *
SaasTransferSeatNext(const TransferHosts *hosts, TransferHost *host)
{
	TransferParty *party = next_party(hosts, host);

	return party == NULL ? NULL : SaasTransferSeatFirst(party);
}

static void
stop_waiting(TransferSeat *seat)
{
	TransferHost *host = seat->host;
	TransferParty *party = seat->party;

	dlist_delete(&seat->waiting_node);
	if (dlist_is_empty(&party->waiting))
		dlist_delete(&party->turn_node);
	if (dlist_is_empty(&host->turns))
		dlist_delete(&host->crowd_node);
}

void
SaasTransferSeatGive(TransferHosts *hosts, TransferSeat *seat)
{
	TransferHost *host = seat->host;
	TransferParty *party = seat->party;

	/* Of each host one in turn, and of each owner, so that a long queue delays only its own. */
	dlist_delete(&host->crowd_node);
	dlist_push_tail(&hosts->crowd, &host->crowd_node);
	stop_waiting(seat);
	if (!dlist_is_empty(&party->waiting))
	{
		dlist_delete(&party->turn_node);
		dlist_push_tail(&host->turns, &party->turn_node);
	}
	seat->has_place = true;
	party->active++;
	host->active++;
}

void
SaasTransferSeatLeave(TransferSeat *seat)
{
	if (seat->host == NULL)
		return;
	if (seat->has_place)
	{
		seat->party->active--;
		seat->host->active--;
	}
	else
		stop_waiting(seat);
	leave_host(seat);
}
