/*
 * transfer_internal.h
 *	  What the files of the transfer loop share.
 *
 * A transfer waits at its host until the queue admits it, is then one easy
 * handle on its host's shard, and ends as a result that waits to be taken:
 *
 *	  transfer_loop.c		 the life of a loop, and the public calls
 *	  transfer_event.c		 a step: libcurl's sockets, timers and messages
 *	  transfer_socket.c		 which sockets epoll has
 *	  transfer_descriptor.c  how many descriptors the loop may use
 *	  transfer_host.c		 who waits at a host, and whose turn it is
 *	  transfer_queue.c		 which waiting transfer may start
 *	  transfer_request.c	 a request as an easy handle
 *	  transfer_trust.c		 certificates that a request brings
 *	  transfer_guard.c		 which addresses a connection may reach
 *	  transfer_answer.c		 what comes back, within its bounds
 *	  transfer_redirect.c	 where an answer may send us
 *	  transfer_failure.c	 what went wrong, in words
 *	  transfer_stage.c		 how long each stage took, and which one failed
 *
 * Everything that runs while libcurl does (callbacks, and the functions that
 * call libcurl) uses malloc and the transfer's arena, never palloc, and
 * records instead of raising.
 */
#ifndef SAAS_TRANSFER_INTERNAL_H
#define SAAS_TRANSFER_INTERNAL_H

#include "net/transfer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <curl/curl.h>

#include "compat.h"
#include "lib/ilist.h"
#include "lib/pairingheap.h"

#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87 or newer is needed: CURLOPT_QUICK_EXIT and CURLOPT_PREREQFUNCTION"
#endif

/* What newer versions know; they may come after we were built. */
#if LIBCURL_VERSION_NUM < 0x081400
#define CURLMOPT_RESOLVE_THREADS_MAX	((CURLMoption) (CURLOPTTYPE_LONG + 20))
#define CURLMOPT_QUICK_EXIT				((CURLMoption) (CURLOPTTYPE_LONG + 21))
#endif
#if LIBCURL_VERSION_NUM < 0x080600
#define CURLE_TOO_LARGE					((CURLcode) 100)
#endif

#define SAAS_TRANSFER_MAX_SHARDS	16
#define SAAS_TRANSFER_HOST_BUCKETS	1024
#define SAAS_TRANSFER_MAX_REDIRECTS 3

/* Handles that wait for their next request; each has some 30 KB. */
#define SAAS_TRANSFER_MAX_IDLE		128

/* Threads that libcurl may have in getaddrinfo for one loop. */
#define SAAS_TRANSFER_MAX_LOOKUPS	64

/*
 * An owner has no more look-ups than one in so many at a time, those that were
 * given up included: whose names hang does not keep the others' from being
 * looked up.  So it is for sessions with databases, among theirs.
 */
#define SAAS_TRANSFER_LOOKUP_SHARE	4

#define SAAS_TRANSFER_MAX_HEADER_BYTES	(256 * 1024)
#define SAAS_TRANSFER_MAX_HEADERS		256

/* A multi handle; the transfers of one origin always meet in the same one. */
typedef struct TransferShard
{
	SaasTransferLoop *loop;
	CURLM	   *multi;
	uint32		index;
	int64		timer_at;		/* libcurl wants to run then; -1: no timer */
	int64		forgot_at;		/* a transfer began that forgets old addresses */
} TransferShard;

/* Sockets of the loop, by descriptor. */
typedef struct TransferSocket TransferSocket;

typedef struct TransferLoopSockets
{
	int			open;			/* those that we opened, whether a transfer uses them or none */
	int			count;
	TransferSocket *items;		/* malloc'd */
} TransferLoopSockets;

/* Whoever has seats at a host; it lives as long as one of them does. */
typedef struct TransferParty
{
	dlist_node	party_node;		/* in host->parties */
	dlist_node	turn_node;		/* in host->turns while seats wait */
	uint64		owner;
	int			seats;			/* waiting, and with a place */
	int			active;			/* with a place */
	dlist_head	waiting;
} TransferParty;

/* An origin that transfers or sessions go to; it lives as long as one of their seats does. */
typedef struct TransferHost
{
	dlist_node	bucket_node;
	dlist_node	crowd_node;		/* in hosts->crowd while seats wait here */
	char	   *origin;
	uint32		hash;
	int			seats;			/* waiting, and with a place */
	int			active;			/* with a place */
	dlist_head	parties;
	dlist_head	turns;			/* parties with seats that wait */

	/* of transfers alone */
	bool		is_literal;		/* an IP address needs no look-up */
	bool		looking_up;		/* one look-up at a time; the others share it */
	int64		resolved_until; /* libcurl's cache knows the address */
} TransferHost;

/* The hosts of a loop. */
typedef struct TransferHosts
{
	int			max_per_host;	/* places */
	dlist_head	crowd;			/* hosts where seats wait, in turn */
	dlist_head	buckets[SAAS_TRANSFER_HOST_BUCKETS];
} TransferHosts;

/* One transfer's, or session's, at its host. */
typedef struct TransferSeat
{
	dlist_node	waiting_node;	/* in party->waiting until it has a place */
	TransferHost *host;			/* NULL: left */
	TransferParty *party;		/* its owner's, at that host */
	bool		has_place;
} TransferSeat;

typedef enum TransferState
{
	TRANSFER_WAITING,			/* at its host */
	TRANSFER_ACTIVE,			/* in its shard's multi handle */
	TRANSFER_FINISHED			/* result is set */
} TransferState;

/* Why a callback broke a transfer off. */
typedef enum TransferFault
{
	TRANSFER_FAULT_NONE,
	TRANSFER_FAULT_ADDRESS,		/* the guard refused blocked_address */
	TRANSFER_FAULT_BODY,		/* larger than max_response */
	TRANSFER_FAULT_CROWD,		/* the largest when all answers together were too large */
	TRANSFER_FAULT_HEADERS,		/* too many or too large */
	TRANSFER_FAULT_ENCODING,	/* compressed twice, or in a way not asked for */
	TRANSFER_FAULT_MEMORY,		/* the system's, or the arena's bound */
	TRANSFER_FAULT_DESCRIPTOR	/* no socket, or epoll refused it */
} TransferFault;

/* Bytes of an answer while they arrive; wiped when freed. */
typedef struct TransferBuffer
{
	char	   *data;
	size_t		length;
	size_t		capacity;
} TransferBuffer;

typedef struct SaasTransfer
{
	dlist_node	all_node;		/* in loop->transfers */
	dlist_node	state_node;		/* in loop->finished or loop->taken */
	pairingheap_node due_node;	/* in loop->due until finished */
	TransferState state;
	SaasTransferLoop *loop;
	TransferSeat seat;			/* left when finished */

	/* as given, and the parts of its URL */
	SaasArena  *arena;
	const SaasRequest *request;
	void	   *tag;
	SaasUrl		url;			/* of the request, in the arena */
	const char *target;			/* where to send it: the URL, until a redirect */
	bool		is_get;
	bool		is_tls;
	int			timeout_ms;
	int64		started_at;
	int64		deadline;
	int64		admitted_at;
	int64		connect_by;		/* while active: the connection has to stand then */
	int64		due;			/* when to look at its bounds */
	int			redirects;

	/* libcurl's, while active */
	CURL	   *easy;
	struct curl_slist *header_lines;
	char		curl_error[CURL_ERROR_SIZE];

	/* recorded by callbacks */
	bool		holds_lookup;	/* counted in loop->lookups */
	bool		forgets;		/* when it ends, libcurl looks for addresses that are too old */
	uint64		lookup_owner;	/* on whose share */
	int64		connecting_at;	/* a socket was opened, so a look-up is over; 0: not yet */
	int64		connected_at;	/* TLS has begun, or the answer is awaited */
	int64		requesting_at;	/* the connection stands, TLS included */
	int64		answering_at;	/* the status line arrived */
	bool		interim;		/* ... of an answer like 100 Continue */
	bool		headers_done;
	size_t		header_bytes;	/* with those of interim answers */
	int			header_count;
	int			codings;		/* compressions that the headers name */
	TransferBuffer headers;		/* lines that end in '\n' */
	TransferBuffer body;
	TransferBuffer kept_body;	/* the result's */
	size_t		max_body;
	CURLcode	code;			/* when it has failed */
	TransferFault fault;
	int			fault_errno;
	char		blocked_address[INET6_ADDRSTRLEN];
	const char *blocked_reason;

	SaasTransferResult result;
} SaasTransfer;

struct SaasTransferLoop
{
	MemoryContext context;		/* holds the loop itself */
	MemoryContextCallback on_reset;
	SaasTransferOptions options;	/* with copies of what it points to */
	SaasNetworkList allowed_networks;

	int			epoll_fd;
	WaitEventSet *wait_set;
	TransferLoopSockets sockets;
	int			reserved_fds;	/* taken from PostgreSQL's share */

	int			idle_count;		/* handles of earlier requests, to be used again */
	CURL	   *idle[SAAS_TRANSFER_MAX_IDLE];
	CURLSH	   *no_connections; /* an empty cache of them; NULL where none is needed */
	int			shard_count;
	TransferShard shards[SAAS_TRANSFER_MAX_SHARDS];

	int			max_active;		/* what the descriptors allow */
	int			max_lookups;
	size_t		buffered;		/* bytes that all bodies take */
	int			count;			/* transfers in all */
	int			unfinished;
	int			active;
	int			lookups;
	int			abandoned;		/* look-ups that nobody waits for, still in their thread */
	uint64		lookup_owners[SAAS_TRANSFER_MAX_LOOKUPS];
	uint64		abandoned_owners[SAAS_TRANSFER_MAX_LOOKUPS];
	int64		abandoned_until[SAAS_TRANSFER_MAX_LOOKUPS];
	bool		has_fault;		/* a callback recorded one that libcurl was not told */

	dlist_head	transfers;
	dlist_head	finished;
	dlist_head	taken;			/* the one whose result the caller has, if any */
	pairingheap *due;			/* unfinished transfers, by that */
	TransferHosts hosts;
};

/* Microseconds of a clock that never goes back. */
static inline int64
SaasTransferNow(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/*
 * Nothing is delivered between the two; everything that calls libcurl stands
 * between them, since threads that it starts inherit the mask.
 */
static inline void
SaasTransferBlockSignals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static inline void
SaasTransferRestoreSignals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* transfer_descriptor.c */

/*
 * Finds descriptors for the loop and sets max_active and max_lookups to what
 * they allow; errors out with 53000 when there are too few for anything.
 */
extern void SaasTransferDescriptorsTake(SaasTransferLoop *loop);
extern void SaasTransferDescriptorsRelease(SaasTransferLoop *loop);

/* What epoll says of a descriptor that SaasTransferWatch was given: no shard's. */
#define SAAS_TRANSFER_COMPANION	PG_UINT64_MAX

/* transfer_loop.c */

/* Once in a process, and never in the one that forks the others. */
extern void SaasTransferInitLibcurl(void);

/* Ends an active or waiting transfer whose result is set. */
extern void SaasTransferFinish(SaasTransfer *transfer);

/* transfer_event.c */

/*
 * From 8.20 on libcurl has a pool of threads for look-ups, with two for each:
 * lets it have as many as we admit look-ups, and leaves those that hang behind
 * when the handle goes.  Older ones do so anyway.
 */
extern bool SaasTransferSetThreads(CURLM *multi, int max_lookups);

/* Makes the shard's multi handle; false when the system gives none. */
extern bool SaasTransferShardOpen(TransferShard *shard, long max_connections);

/* Serves what is ready and due, and ends or starts transfers accordingly. */
extern void SaasTransferStep(SaasTransferLoop *loop);

/* transfer_socket.c */

/* libcurl waits for these events, some; false with errno when that is not to be had. */
extern bool SaasTransferSocketWatch(TransferShard *shard, int fd, uint32 events);

/* libcurl waits for nothing more. */
extern void SaasTransferSocketLeave(SaasTransferLoop *loop, int fd);

/* Whether libcurl waits for the socket that epoll has named; if not, epoll loses it. */
extern bool SaasTransferSocketIsWanted(SaasTransferLoop *loop, int fd);

/* A socket was opened that is closed by SaasTransferSocketClose, and by nobody else. */
extern void SaasTransferSocketOpened(SaasTransferLoop *loop, int fd);

/* Whether more connections wait for another request than transfers may run. */
extern bool SaasTransferSocketsCrowd(const SaasTransferLoop *loop);

/* CURLOPT_CLOSESOCKETFUNCTION; data is the loop. */
extern int	SaasTransferSocketClose(void *data, curl_socket_t fd);

/* transfer_host.c */
extern void SaasTransferHostsInit(TransferHosts *hosts, int max_per_host);

/* The seat, which is zeroed, waits at the origin for that owner; false when memory is out. */
extern bool SaasTransferSeatWait(TransferHosts *hosts, TransferSeat *seat, const char *origin,
								 uint64 owner);

/* The seat that gets the host's next place, at a host of the crowd; NULL: none now. */
extern TransferSeat *SaasTransferSeatNext(const TransferHosts *hosts, TransferHost *host);

/* The party's that waits longest; it has one. */
extern TransferSeat *SaasTransferSeatFirst(TransferParty *party);

/* The seat, which waits, has its place now. */
extern void SaasTransferSeatGive(TransferHosts *hosts, TransferSeat *seat);

/* Gives the seat back, if it was not yet; the host may go with it. */
extern void SaasTransferSeatLeave(TransferSeat *seat);

/* transfer_queue.c */

/* Puts a new transfer at its host; false when memory is out. */
extern bool SaasTransferQueueAdd(SaasTransfer *transfer);

/* Hands to libcurl what may start now. */
extern void SaasTransferQueueAdmit(SaasTransferLoop *loop);

/* Takes a waiting or active transfer out of its host. */
extern void SaasTransferQueueLeave(SaasTransfer *transfer);

/* A callback has seen that the look-up is over, or was not needed. */
extern void SaasTransferQueueLookupDone(SaasTransfer *transfer);

/* Fails those that wait for the look-up that failed. */
extern void SaasTransferQueueLookupFailed(TransferHost *host, const SaasProblem *problem);

/* Changes when the queue looks at a transfer's bounds. */
extern void SaasTransferQueueSetDue(SaasTransfer *transfer, int64 due);

/* Ends transfers whose time is over. */
extern void SaasTransferQueueExpire(SaasTransferLoop *loop);

/* When the queue has something to do next; -1: not by itself. */
extern int64 SaasTransferQueueNextTime(SaasTransferLoop *loop);

/* The shard of a host. */
extern TransferShard *SaasTransferHostShard(SaasTransferLoop *loop, const TransferHost *host);

/* transfer_request.c */

/* Whether the request can be sent as it is written; sets problem if not. */
extern bool SaasTransferRequestCheck(const SaasRequest *request, const SaasUrl *url,
									 SaasProblem *problem);

/* Makes the easy handle of a transfer; false when memory is out. */
extern bool SaasTransferRequestOpen(SaasTransfer *transfer);

/* Gives the handle its URL and the time that is left. */
extern bool SaasTransferRequestAim(SaasTransfer *transfer);

/* The look-up is over: what libcurl knows of other hosts is left alone. */
extern void SaasTransferRequestLookedUp(SaasTransfer *transfer);
extern void SaasTransferRequestClose(SaasTransfer *transfer);

/* Frees the handles that wait for their next request. */
extern void SaasTransferRequestCloseIdle(SaasTransferLoop *loop);

/* transfer_trust.c: what a request brings of its own for TLS. */
extern bool SaasTransferTrustAttach(SaasTransfer *transfer);

/* transfer_stage.c: fills result.stages while the easy handle is still there. */
extern void SaasTransferStages(SaasTransfer *transfer);

/* The file of certificate authorities that libcurl or OpenSSL has as its default. */
extern const char *SaasTransferSystemAuthorities(void);

/* transfer_guard.c */
extern bool SaasTransferGuardAttach(SaasTransfer *transfer);

/* transfer_answer.c */
extern bool SaasTransferAnswerAttach(SaasTransfer *transfer);

/* Moves the answer into the result, all but the body into the arena too; false with fault set. */
extern bool SaasTransferAnswerFinish(SaasTransfer *transfer);

/* Frees the result's body. */
extern void SaasTransferAnswerForget(SaasTransfer *transfer);

/* Forgets what arrived, before a redirect is followed or at the end. */
extern void SaasTransferAnswerReset(SaasTransfer *transfer);

/* transfer_redirect.c */
typedef enum TransferTurn
{
	TRANSFER_TURN_NONE,			/* the answer is final */
	TRANSFER_TURN_FOLLOW,		/* target is where to go */
	TRANSFER_TURN_REFUSED		/* the result's problem is set */
} TransferTurn;

extern TransferTurn SaasTransferRedirect(SaasTransfer *transfer);

/* transfer_failure.c */

/*
 * The guard's refusal.  What a name leads to is not the tenant's to know, who
 * could learn of a network from within: the problem tells an address only when
 * it was written in the host's place.  Returns what the operator may read, in
 * the arena; NULL when memory is out.
 */
extern const char *SaasTransferRefuseAddress(SaasProblem *problem, SaasArena *arena,
											 const char *host, const char *address,
											 const char *reason);

/* Puts into the result why libcurl, or a callback, ended the transfer. */
extern void SaasTransferFail(SaasTransfer *transfer, CURLcode code);

/* Puts into the result that its time was over before it could start. */
extern void SaasTransferFailWaiting(SaasTransfer *transfer);

#endif							/* SAAS_TRANSFER_INTERNAL_H */
