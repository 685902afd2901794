/*
 * transfer_loop.c
 *	  The life of a loop, and the public calls.
 *
 * libcurl's sockets live in an epoll descriptor of ours, because a
 * WaitEventSet cannot give a socket back.  The WaitEventSet has three members
 * for good: the latch, the postmaster's death and that descriptor.
 */
#include "net/transfer_internal.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/memutils.h"

/* Transfers for which another shard pays: libcurl's tables have a hundred chains. */
#define TRANSFERS_PER_SHARD		1024

/* Network connections that a shard keeps at least. */
#define CONNECTIONS_PER_SHARD	4

void
SaasTransferInitLibcurl(void)
{
	static bool done = false;
	sigset_t	saved;
	CURLcode	code;

	if (done)
		return;
	if (MyProcPid == PostmasterPid)
		elog(ERROR, "network transfers do not run in the postmaster");
	SaasTransferBlockSignals(&saved);
	code = curl_global_init(CURL_GLOBAL_DEFAULT);
	SaasTransferRestoreSignals(&saved);
	if (code != CURLE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not initialize libcurl: %s", curl_easy_strerror(code))));
	done = true;
}

static int
compare_due(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	int64		first = pairingheap_const_container(SaasTransfer, due_node, a)->due;
	int64		second = pairingheap_const_container(SaasTransfer, due_node, b)->due;

	(void) arg;
	return first < second ? 1 : first > second ? -1 : 0;
}

static bool
open_empty_cache(SaasTransferLoop *loop)
{
	loop->no_connections = curl_share_init();
	return loop->no_connections != NULL &&
		curl_share_setopt(loop->no_connections, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) == CURLSHE_OK;
}

static void
open_shards(SaasTransferLoop *loop)
{
	/* Those in use are among them, and where hosts are spread unevenly a shard has more of these. */
	long		max_connections = Max(CONNECTIONS_PER_SHARD, 2L * loop->max_active / loop->shard_count);
	bool		done = true;
	sigset_t	saved;

	SaasTransferBlockSignals(&saved);
	for (int i = 0; i < loop->shard_count && done; i++)
	{
		TransferShard *shard = &loop->shards[i];

		shard->loop = loop;
		shard->index = (uint32) i;
		shard->timer_at = -1;
		done = SaasTransferShardOpen(shard, max_connections);
	}
	if (done && curl_version_info(CURLVERSION_NOW)->version_num < 0x080A00)
		done = open_empty_cache(loop);
	SaasTransferRestoreSignals(&saved);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not create the network loop's handles")));
}

static void
open_wait_set(SaasTransferLoop *loop)
{
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not create an epoll descriptor: %m")));

	loop->wait_set = SaasCreateWaitEventSet(loop->context, 3);
	AddWaitEventToSet(loop->wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(loop->wait_set, WL_SOCKET_READABLE, loop->epoll_fd, NULL, NULL);
	if (IsUnderPostmaster)
		AddWaitEventToSet(loop->wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
}

/*
 * An easy handle knows its last connection, for which libcurl before 8.10 goes
 * through all connections of the multi handle that it leaves.  Asked for that
 * connection's socket while it shares another cache, an empty one, libcurl
 * finds nothing and forgets the connection.
 */
static void
forget_connection(SaasTransfer *transfer)
{
	CURLSH	   *nothing = transfer->loop->no_connections;
	curl_socket_t fd;

	if (nothing == NULL || curl_easy_setopt(transfer->easy, CURLOPT_SHARE, nothing) != CURLE_OK)
		return;
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd);
	(void) curl_easy_setopt(transfer->easy, CURLOPT_SHARE, NULL);
}

static void
leave_libcurl(SaasTransfer *transfer)
{
	CURLM	   *multi = SaasTransferHostShard(transfer->loop, transfer->seat.host)->multi;

	if (transfer->result.ok)
		forget_connection(transfer);
	curl_multi_remove_handle(multi, transfer->easy);
}

/* Takes a transfer away from libcurl and frees all but its result. */
static void
detach(SaasTransfer *transfer)
{
	if (transfer->state == TRANSFER_ACTIVE && transfer->easy != NULL)
		leave_libcurl(transfer);
	SaasTransferQueueLeave(transfer);
	SaasTransferRequestClose(transfer);
	SaasTransferAnswerReset(transfer);
	transfer->loop->unfinished--;
}

static void
drop(SaasTransfer *transfer)
{
	SaasTransferLoop *loop = transfer->loop;

	if (transfer->state == TRANSFER_FINISHED)
		dlist_delete(&transfer->state_node);
	else
		detach(transfer);
	dlist_delete(&transfer->all_node);
	SaasTransferAnswerForget(transfer);
	loop->count--;
	free(transfer);
}

void
SaasTransferFinish(SaasTransfer *transfer)
{
	SaasTransferStages(transfer);
	detach(transfer);
	transfer->state = TRANSFER_FINISHED;
	transfer->result.tag = transfer->tag;
	transfer->result.duration_ms =
		(int) ((SaasTransferNow() - transfer->started_at) / 1000);
	dlist_push_tail(&transfer->loop->finished, &transfer->state_node);
}

/* Runs when the context goes, in the middle of an abort too: it must not raise. */
static void
close_loop(void *data)
{
	SaasTransferLoop *loop = data;
	dlist_mutable_iter iter;
	sigset_t	saved;

	SaasTransferBlockSignals(&saved);
	dlist_foreach_modify(iter, &loop->transfers)
		drop(dlist_container(SaasTransfer, all_node, iter.cur));
	SaasTransferRequestCloseIdle(loop);
	for (int i = 0; i < loop->shard_count; i++)
		if (loop->shards[i].multi != NULL)
			curl_multi_cleanup(loop->shards[i].multi);
	if (loop->no_connections != NULL)
		curl_share_cleanup(loop->no_connections);
	SaasTransferRestoreSignals(&saved);
	free(loop->sockets.items);

	if (loop->wait_set != NULL)
		FreeWaitEventSet(loop->wait_set);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	SaasTransferDescriptorsRelease(loop);
}

static void
copy_options(SaasTransferLoop *loop, const SaasTransferOptions *options)
{
	loop->options = *options;
	loop->options.max_in_flight = Max(options->max_in_flight, 1);
	loop->options.max_per_host = Max(options->max_per_host, 1);
	loop->options.connect_timeout_ms = Max(options->connect_timeout_ms, 1);
	if (options->allowed_networks != NULL)
		loop->allowed_networks = *options->allowed_networks;
	loop->options.allowed_networks = &loop->allowed_networks;
	loop->options.ca_file = options->ca_file != NULL ?
		pstrdup(options->ca_file) : SaasTransferSystemAuthorities();
	if (options->user_agent != NULL)
		loop->options.user_agent = pstrdup(options->user_agent);
}

static SaasTransferLoop *
open_loop(MemoryContext context, const SaasTransferOptions *options)
{
	SaasTransferLoop *loop = palloc0(sizeof(SaasTransferLoop));

	loop->context = context;
	loop->epoll_fd = -1;
	dlist_init(&loop->transfers);
	dlist_init(&loop->finished);
	dlist_init(&loop->taken);
	loop->on_reset.func = close_loop;
	loop->on_reset.arg = loop;
	MemoryContextRegisterResetCallback(context, &loop->on_reset);

	copy_options(loop, options);
	SaasTransferHostsInit(&loop->hosts, loop->options.max_per_host);
	loop->due = pairingheap_allocate(compare_due, NULL);
	loop->shard_count = Max(1, Min(loop->options.max_in_flight / TRANSFERS_PER_SHARD,
								   SAAS_TRANSFER_MAX_SHARDS));
	SaasTransferDescriptorsTake(loop);
	open_wait_set(loop);
	open_shards(loop);
	return loop;
}

SaasTransferLoop *
SaasTransferLoopCreate(MemoryContext context, const SaasTransferOptions *options)
{
	SaasTransferLoop *volatile loop = NULL;
	MemoryContext own;
	MemoryContext caller;

	SaasTransferInitLibcurl();

	/* A child of the caller's, so that the callback runs before its memory goes. */
	own = AllocSetContextCreate(context, "saas transfer loop", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(own);
	PG_TRY();
	{
		loop = open_loop(own, options);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(own);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return loop;
}

static bool
check_start(SaasTransferLoop *loop, SaasArena *arena, const SaasRequest *request,
			SaasUrl *url, SaasProblem *problem)
{
	memset(problem, 0, sizeof(*problem));
	if (loop->unfinished >= loop->options.max_in_flight)
		return SaasProblemSet(problem, "53400", "%d transfers are under way already",
							  loop->options.max_in_flight);
	if (!SaasUrlParse(request->url, arena, url, problem))
		return false;
	if (strcmp(url->scheme, "https") != 0 && !loop->options.allow_http)
	{
		SaasProblemSet(problem, "22023", "%s is not an https address", url->origin);
		return SaasProblemHint(problem, "Plain HTTP needs the operator's permission.");
	}
	return SaasTransferRequestCheck(request, url, problem);
}

bool
SaasTransferStart(SaasTransferLoop *loop, SaasArena *arena, const SaasRequest *request,
				  int timeout_ms, void *tag, SaasProblem *problem)
{
	SaasTransfer *transfer;
	SaasUrl		url;

	if (!check_start(loop, arena, request, &url, problem))
		return false;
	transfer = calloc(1, sizeof(SaasTransfer));
	if (transfer == NULL)
		return SaasProblemSet(problem, "53200", "out of memory for a transfer");

	transfer->loop = loop;
	transfer->arena = arena;
	transfer->request = request;
	transfer->tag = tag;
	transfer->url = url;
	transfer->target = request->url;
	transfer->is_get = strcmp(request->method, "GET") == 0;
	transfer->is_tls = strcmp(url.scheme, "https") == 0;
	transfer->timeout_ms = Max(timeout_ms, 1);
	transfer->started_at = SaasTransferNow();
	transfer->deadline = transfer->started_at + (int64) transfer->timeout_ms * 1000;
	transfer->due = transfer->deadline;
	if (!SaasTransferQueueAdd(transfer))
	{
		free(transfer);
		return SaasProblemSet(problem, "53200", "out of memory for a transfer");
	}
	dlist_push_tail(&loop->transfers, &transfer->all_node);
	loop->count++;
	loop->unfinished++;
	return true;
}

int
SaasTransferCount(const SaasTransferLoop *loop)
{
	return loop->count;
}

/* Milliseconds until something is due by itself, at most timeout_ms; -1: never. */
static long
time_to_wait(SaasTransferLoop *loop, long timeout_ms)
{
	int64		next = SaasTransferQueueNextTime(loop);
	int64		left_ms;

	if (!dlist_is_empty(&loop->finished))
		return 0;
	for (int i = 0; i < loop->shard_count; i++)
	{
		int64		timer_at = loop->shards[i].timer_at;

		if (timer_at >= 0 && (next < 0 || timer_at < next))
			next = timer_at;
	}
	if (next < 0)
		return timeout_ms;
	left_ms = Max((next - SaasTransferNow() + 999) / 1000, 0);
	return timeout_ms < 0 ? (long) Min(left_ms, INT_MAX) : (long) Min(left_ms, timeout_ms);
}

bool
SaasTransferWait(SaasTransferLoop *loop, long timeout_ms, uint32 wait_event_info)
{
	WaitEvent	events[3];
	bool		latch_set = false;
	sigset_t	saved;
	int			count;

	SaasTransferBlockSignals(&saved);
	SaasTransferQueueAdmit(loop);
	SaasTransferRestoreSignals(&saved);

	count = WaitEventSetWait(loop->wait_set, time_to_wait(loop, timeout_ms), events,
							 lengthof(events), wait_event_info);
	for (int i = 0; i < count; i++)
		latch_set |= (events[i].events & WL_LATCH_SET) != 0;
	if (latch_set)
		ResetLatch(MyLatch);

	SaasTransferStep(loop);
	return latch_set;
}

void
SaasTransferWatch(SaasTransferLoop *loop, int fd)
{
	struct epoll_event event = {0};

	event.events = EPOLLIN;
	event.data.u64 = SAAS_TRANSFER_COMPANION;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not watch a descriptor: %m")));
}

bool
SaasTransferTake(SaasTransferLoop *loop, SaasTransferResult *result)
{
	SaasTransfer *transfer;

	if (!dlist_is_empty(&loop->taken))
		drop(dlist_container(SaasTransfer, state_node, dlist_head_node(&loop->taken)));
	if (dlist_is_empty(&loop->finished))
		return false;
	transfer = dlist_container(SaasTransfer, state_node, dlist_pop_head_node(&loop->finished));
	dlist_push_head(&loop->taken, &transfer->state_node);
	*result = transfer->result;
	return true;
}
