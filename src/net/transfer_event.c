/*
 * transfer_event.c
 *	  A step: libcurl's sockets, timers and messages.
 *
 * libcurl says which sockets it waits for and when it wants to be called.
 * Transfers are spread over several multi handles by their origin, because
 * one handle's tables slow down with its connections; all of them share the
 * loop's epoll descriptor.
 */
#include "net/transfer_internal.h"

#include <sys/epoll.h>

/* Sockets that one step serves at most, so that the latch gets its turn. */
#define EVENTS_PER_STEP			64

/* libcurl: watch this socket for that. */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *known)
{
	TransferShard *shard = data;
	SaasTransfer *transfer = NULL;

	(void) known;
	if (what == CURL_POLL_REMOVE)
	{
		SaasTransferSocketLeave(shard->loop, fd);
		return 0;
	}
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);

	/* While it connects, a socket is waited for to become writable, no more. */
	if (transfer != NULL && transfer->connecting_at != 0 && transfer->connected_at == 0 &&
		(what & CURL_POLL_IN) != 0)
		transfer->connected_at = SaasTransferNow();

	/* An error returned here would end every transfer of the shard. */
	if (!SaasTransferSocketWatch(shard, fd, (what & CURL_POLL_IN ? EPOLLIN : 0) |
								 (what & CURL_POLL_OUT ? EPOLLOUT : 0)) && transfer != NULL)
	{
		transfer->fault = TRANSFER_FAULT_DESCRIPTOR;
		transfer->fault_errno = errno;
		shard->loop->has_fault = true;
	}
	return 0;
}

/* libcurl: call me in timeout_ms, or not at all when -1. */
static int
set_timer(CURLM *multi, long timeout_ms, void *data)
{
	TransferShard *shard = data;

	(void) multi;
	shard->timer_at = timeout_ms < 0 ? -1 : SaasTransferNow() + (int64) timeout_ms * 1000;
	return 0;
}

static bool
set_if_known(CURLM *multi, CURLMoption option, long value)
{
	CURLMcode	code = curl_multi_setopt(multi, option, value);

	return code == CURLM_OK || code == CURLM_UNKNOWN_OPTION;
}

bool
SaasTransferSetThreads(CURLM *multi, int max_lookups)
{
	return set_if_known(multi, CURLMOPT_RESOLVE_THREADS_MAX, 2L * max_lookups) &&
		set_if_known(multi, CURLMOPT_QUICK_EXIT, 1L);
}

bool
SaasTransferShardOpen(TransferShard *shard, long max_connections)
{
	CURLM	   *multi = shard->multi = curl_multi_init();

	return multi != NULL &&
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, shard) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_TIMERDATA, shard) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, max_connections) == CURLM_OK &&
		SaasTransferSetThreads(multi, SAAS_TRANSFER_MAX_LOOKUPS);
}

/* libcurl is through with a transfer: it ends, or goes where it was sent. */
static void
conclude(SaasTransfer *transfer, CURLcode code)
{
	TransferShard *shard = SaasTransferHostShard(transfer->loop, transfer->seat.host);
	TransferTurn turn;

	if (code == CURLE_COULDNT_RESOLVE_HOST)
		SaasTransferQueueLookupDone(transfer);

	if (code != CURLE_OK || transfer->fault != TRANSFER_FAULT_NONE ||
		!SaasTransferAnswerFinish(transfer))
	{
		SaasTransferFail(transfer, code);
		if (code == CURLE_COULDNT_RESOLVE_HOST)
			SaasTransferQueueLookupFailed(transfer->seat.host, &transfer->result.problem);
		SaasTransferFinish(transfer);
		return;
	}

	turn = SaasTransferRedirect(transfer);
	if (turn == TRANSFER_TURN_FOLLOW)
	{
		curl_multi_remove_handle(shard->multi, transfer->easy);
		SaasTransferAnswerReset(transfer);
		SaasTransferAnswerForget(transfer);
		if (SaasTransferRequestAim(transfer) &&
			curl_multi_add_handle(shard->multi, transfer->easy) == CURLM_OK)
		{
			SaasTransferQueueSetDue(transfer, transfer->connect_by);
			return;
		}
		SaasTransferFail(transfer, CURLE_OUT_OF_MEMORY);
	}
	else
		transfer->result.ok = turn == TRANSFER_TURN_NONE;
	SaasTransferFinish(transfer);
}

static void
collect(TransferShard *shard)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(shard->multi, &left)) != NULL)
	{
		CURLcode	code = message->data.result;
		SaasTransfer *transfer = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		conclude(transfer, code);
	}
}

static void
serve_sockets(SaasTransferLoop *loop)
{
	struct epoll_event events[EVENTS_PER_STEP];
	int			ready = epoll_wait(loop->epoll_fd, events, EVENTS_PER_STEP, 0);
	int			running;

	for (int i = 0; i < ready; i++)
	{
		uint32		what = events[i].events;
		int			fd = (int) (uint32) events[i].data.u64;
		int			mask = 0;

		if (events[i].data.u64 == SAAS_TRANSFER_COMPANION || !SaasTransferSocketIsWanted(loop, fd))
			continue;
		if (what & (EPOLLIN | EPOLLHUP | EPOLLRDHUP))
			mask |= CURL_CSELECT_IN;
		if (what & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (what & EPOLLERR)
			mask |= CURL_CSELECT_ERR;
		curl_multi_socket_action(loop->shards[events[i].data.u64 >> 32].multi,
								 fd, mask, &running);
	}
}

static void
serve_timers(SaasTransferLoop *loop)
{
	int64		now = SaasTransferNow();
	int			running;

	for (int i = 0; i < loop->shard_count; i++)
	{
		TransferShard *shard = &loop->shards[i];

		if (shard->timer_at < 0 || shard->timer_at > now)
			continue;
		shard->timer_at = -1;
		curl_multi_socket_action(shard->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
}

/* Ends those that libcurl was not told of: sockets that epoll refused, bodies that made room. */
static void
end_faulty(SaasTransferLoop *loop)
{
	dlist_mutable_iter iter;

	loop->has_fault = false;
	dlist_foreach_modify(iter, &loop->transfers)
	{
		SaasTransfer *transfer = dlist_container(SaasTransfer, all_node, iter.cur);

		if (transfer->state != TRANSFER_ACTIVE ||
			(transfer->fault != TRANSFER_FAULT_DESCRIPTOR && transfer->fault != TRANSFER_FAULT_CROWD))
			continue;
		SaasTransferFail(transfer, CURLE_COULDNT_CONNECT);
		SaasTransferFinish(transfer);
	}
}

void
SaasTransferStep(SaasTransferLoop *loop)
{
	sigset_t	saved;

	SaasTransferBlockSignals(&saved);
	SaasTransferQueueExpire(loop);
	serve_sockets(loop);
	serve_timers(loop);
	for (int i = 0; i < loop->shard_count; i++)
		collect(&loop->shards[i]);
	if (loop->has_fault)
		end_faulty(loop);
	SaasTransferQueueAdmit(loop);
	SaasTransferRestoreSignals(&saved);
}
