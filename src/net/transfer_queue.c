/*
 * transfer_queue.c
 *	  Which waiting transfer may start.
 *
 * libcurl could queue transfers itself, but it starts their clocks only when
 * they connect and gives every one that has to resolve a name its own thread.
 * So transfers wait here, at their host, hosts take turns, and one look-up per
 * host serves all that wait for it: libcurl's cache has the address by the
 * time the next one starts.
 *
 * The clock is ours too: libcurl's own timer may go off a little before its
 * bound is reached, and is then not set again.
 */
#include "net/transfer_internal.h"

/* How long libcurl's cache is trusted to know an address; it keeps it for 60 s. */
#define RESOLVED_FOR_US			INT64CONST(50000000)

/* How often it forgets the older ones. */
#define FORGET_EVERY_US			INT64CONST(10000000)

/*
 * A look-up that was given up stays in its thread until the resolver gives up
 * too: 5 s, twice, for three servers, with resolv.conf's defaults.
 */
#define ABANDONED_FOR_US		INT64CONST(30000000)

/* With less time left than this, a transfer that has waited is not begun any more. */
#define WORTH_A_START_US		INT64CONST(10000)

static SaasTransfer *
transfer_of(TransferSeat *seat)
{
	return (SaasTransfer *) ((char *) seat - offsetof(SaasTransfer, seat));
}

bool
SaasTransferQueueAdd(SaasTransfer *transfer)
{
	SaasTransferLoop *loop = transfer->loop;
	unsigned char address[16];

	if (!SaasTransferSeatWait(&loop->hosts, &transfer->seat, transfer->url.origin, transfer->request->owner))
		return false;
	transfer->seat.host->is_literal = inet_pton(AF_INET, transfer->url.host, address) == 1 ||
		inet_pton(AF_INET6, transfer->url.host, address) == 1;
	transfer->state = TRANSFER_WAITING;
	pairingheap_add(loop->due, &transfer->due_node);
	return true;
}

TransferShard *
SaasTransferHostShard(SaasTransferLoop *loop, const TransferHost *host)
{
	/* The low bits chose the bucket. */
	return &loop->shards[(host->hash >> 16) % loop->shard_count];
}

static void
forget_ended_lookups(SaasTransferLoop *loop, int64 now)
{
	for (int i = 0; i < loop->abandoned;)
	{
		if (loop->abandoned_until[i] <= now)
		{
			loop->abandoned_until[i] = loop->abandoned_until[--loop->abandoned];
			loop->abandoned_owners[i] = loop->abandoned_owners[loop->abandoned];
		}
		else
			i++;
	}
}

static bool
needs_lookup(const TransferHost *host, int64 now)
{
	return !host->is_literal && host->resolved_until <= now;
}

static bool
has_share(const SaasTransferLoop *loop, uint64 owner)
{
	int			left = Max(1, loop->max_lookups / SAAS_TRANSFER_LOOKUP_SHARE);

	for (int i = 0; i < loop->lookups; i++)
		left -= loop->lookup_owners[i] == owner;
	for (int i = 0; i < loop->abandoned; i++)
		left -= loop->abandoned_owners[i] == owner;
	return left > 0;
}

/* The first who waits at the host and has a look-up left pays for all of them; NULL: nobody. */
static const TransferParty *
payer_of(const SaasTransferLoop *loop, TransferHost *host)
{
	dlist_iter	iter;

	dlist_foreach(iter, &host->turns)
	{
		const TransferParty *party = dlist_container(TransferParty, turn_node, iter.cur);

		if (has_share(loop, party->owner))
			return party;
	}
	return NULL;
}

/* A look-up has ended or was given up: it is not counted among those under way any more. */
static void
end_lookup(SaasTransfer *transfer)
{
	SaasTransferLoop *loop = transfer->loop;
	int			i = 0;

	while (i < loop->lookups - 1 && loop->lookup_owners[i] != transfer->lookup_owner)
		i++;
	loop->lookup_owners[i] = loop->lookup_owners[--loop->lookups];
	transfer->holds_lookup = false;
	transfer->seat.host->looking_up = false;
}

/* The transfer to the host that starts now; NULL: none yet. */
static SaasTransfer *
next_transfer(const SaasTransferLoop *loop, TransferHost *host, int64 now)
{
	TransferSeat *seat = loop->active < loop->max_active ? SaasTransferSeatNext(&loop->hosts, host) : NULL;
	SaasTransfer *first = seat == NULL ? NULL : transfer_of(seat);

	if (first == NULL ||
		(first->deadline - now < WORTH_A_START_US && now - first->started_at > WORTH_A_START_US))
		return NULL;
	if (needs_lookup(host, now) &&
		(host->looking_up || loop->lookups + loop->abandoned >= loop->max_lookups ||
		 payer_of(loop, host) == NULL))
		return NULL;
	return first;
}

static void
fail_without_memory(SaasTransfer *transfer)
{
	transfer->fault = TRANSFER_FAULT_MEMORY;
	SaasTransferFail(transfer, CURLE_OUT_OF_MEMORY);
	SaasTransferFinish(transfer);
}

static void
start(SaasTransfer *transfer, int64 now)
{
	SaasTransferLoop *loop = transfer->loop;
	TransferHost *host = transfer->seat.host;
	TransferShard *shard = SaasTransferHostShard(loop, host);
	const TransferParty *payer = needs_lookup(host, now) ? payer_of(loop, host) : NULL;

	SaasTransferSeatGive(&loop->hosts, &transfer->seat);
	transfer->state = TRANSFER_ACTIVE;
	transfer->admitted_at = now;
	loop->active++;
	if (payer != NULL)
	{
		transfer->holds_lookup = true;
		transfer->lookup_owner = payer->owner;
		host->looking_up = true;
		loop->lookup_owners[loop->lookups++] = transfer->lookup_owner;
	}

	transfer->forgets = now - shard->forgot_at >= FORGET_EVERY_US;
	if (transfer->forgets)
		shard->forgot_at = now;

	if (!SaasTransferRequestOpen(transfer) || !SaasTransferRequestAim(transfer) ||
		curl_multi_add_handle(shard->multi, transfer->easy) != CURLM_OK)
	{
		/* No thread was started for it. */
		if (transfer->holds_lookup)
			SaasTransferQueueLookupDone(transfer);
		host->resolved_until = 0;
		fail_without_memory(transfer);
		return;
	}
	SaasTransferQueueSetDue(transfer, transfer->connect_by);
}

void
SaasTransferQueueAdmit(SaasTransferLoop *loop)
{
	int64		now = SaasTransferNow();
	bool		progress;

	forget_ended_lookups(loop, now);
	do
	{
		dlist_mutable_iter iter;

		progress = false;
		dlist_foreach_modify(iter, &loop->hosts.crowd)
		{
			TransferHost *host = dlist_container(TransferHost, crowd_node, iter.cur);
			SaasTransfer *next = next_transfer(loop, host, now);

			if (loop->active >= loop->max_active)
				return;
			if (next == NULL)
				continue;
			start(next, now);
			progress = true;
		}
	} while (progress);
}

void
SaasTransferQueueLookupDone(SaasTransfer *transfer)
{
	if (!transfer->holds_lookup)
		return;
	end_lookup(transfer);
	SaasTransferRequestLookedUp(transfer);
	transfer->seat.host->resolved_until = SaasTransferNow() + RESOLVED_FOR_US;
}

void
SaasTransferQueueLookupFailed(TransferHost *host, const SaasProblem *problem)
{
	host->resolved_until = 0;
	/* The one whose look-up it was is at the host still, so that the host stays. */
	while (!dlist_is_empty(&host->turns))
	{
		TransferParty *party = dlist_container(TransferParty, turn_node, dlist_head_node(&host->turns));
		SaasTransfer *transfer = transfer_of(SaasTransferSeatFirst(party));

		transfer->result.problem = *problem;
		transfer->result.transient = true;
		SaasTransferFinish(transfer);
	}
}

static void
abandon_lookup(SaasTransfer *transfer)
{
	SaasTransferLoop *loop = transfer->loop;

	end_lookup(transfer);
	if (loop->abandoned < SAAS_TRANSFER_MAX_LOOKUPS)
	{
		loop->abandoned_owners[loop->abandoned] = transfer->lookup_owner;
		loop->abandoned_until[loop->abandoned++] = SaasTransferNow() + ABANDONED_FOR_US;
	}
}

void
SaasTransferQueueLeave(SaasTransfer *transfer)
{
	if (transfer->state == TRANSFER_ACTIVE)
	{
		if (transfer->holds_lookup)
			abandon_lookup(transfer);
		transfer->loop->active--;
	}
	pairingheap_remove(transfer->loop->due, &transfer->due_node);
	SaasTransferSeatLeave(&transfer->seat);
}

void
SaasTransferQueueSetDue(SaasTransfer *transfer, int64 due)
{
	pairingheap *heap = transfer->loop->due;

	pairingheap_remove(heap, &transfer->due_node);
	transfer->due = due;
	pairingheap_add(heap, &transfer->due_node);
}

void
SaasTransferQueueExpire(SaasTransferLoop *loop)
{
	int64		now = SaasTransferNow();

	while (!pairingheap_is_empty(loop->due))
	{
		SaasTransfer *transfer = pairingheap_container(SaasTransfer, due_node,
													   pairingheap_first(loop->due));

		if (transfer->due > now)
			break;
		if (transfer->requesting_at != 0 && transfer->deadline > now)
		{
			SaasTransferQueueSetDue(transfer, transfer->deadline);
			continue;
		}
		if (transfer->state == TRANSFER_WAITING)
			SaasTransferFailWaiting(transfer);
		else
			SaasTransferFail(transfer, CURLE_OPERATION_TIMEDOUT);
		SaasTransferFinish(transfer);
	}
}

int64
SaasTransferQueueNextTime(SaasTransferLoop *loop)
{
	int64		next;

	if (pairingheap_is_empty(loop->due))
		return -1;
	next = pairingheap_container(SaasTransfer, due_node, pairingheap_first(loop->due))->due;
	if (!dlist_is_empty(&loop->hosts.crowd))
		for (int i = 0; i < loop->abandoned; i++)
			next = Min(next, loop->abandoned_until[i]);
	return next;
}
