/*
 * postgres_lookup.c
 *	  Names to addresses, in threads.
 *
 * A resolver may take half a minute to give up and cannot be interrupted, so
 * a thread that nobody waits for any more goes on and counts until it ends;
 * whoever asks for the same name meanwhile joins it, so that a name that hangs
 * holds one thread, however often it is polled.  Threads touch nothing of
 * PostgreSQL: they have malloc, getaddrinfo and the board, and no signal is
 * delivered to them.
 */
#include "net/postgres_internal.h"

#include <unistd.h>

#define MAX_THREADS		128
#define STACK_BYTES		(512 * 1024)

struct PostgresBoard
{
	pthread_mutex_t mutex;
	int			report_fd;		/* -1 once the loop is gone */
	int			threads;
	int			references;		/* the loop's and the threads' */
	PostgresLookup *running;
};

struct PostgresLookup
{
	PostgresBoard *board;
	char	   *host;
	uint64		owner;			/* who asked first: it is counted as theirs */

	/* under the board's mutex */
	PostgresLookup *next;		/* in board->running */
	int			references;		/* those who wait, and the thread */
	bool		is_done;
	PostgresAddresses addresses;
};

PostgresBoard *
SaasPostgresBoardOpen(int report_fd)
{
	PostgresBoard *board = calloc(1, sizeof(PostgresBoard));

	if (board == NULL)
		return NULL;
	pthread_mutex_init(&board->mutex, NULL);
	board->report_fd = report_fd;
	board->references = 1;
	return board;
}

/* Unlocks the board, and frees it after the last reference. */
static void
let_go(PostgresBoard *board)
{
	bool		is_last = --board->references == 0;

	pthread_mutex_unlock(&board->mutex);
	if (!is_last)
		return;
	pthread_mutex_destroy(&board->mutex);
	free(board);
}

void
SaasPostgresBoardClose(PostgresBoard *board)
{
	pthread_mutex_lock(&board->mutex);
	board->report_fd = -1;
	let_go(board);
}

/* With the mutex held. */
static void
release(PostgresLookup *lookup)
{
	if (--lookup->references > 0)
		return;
	free(lookup->host);
	free(lookup);
}

static void
leave_running(PostgresLookup *lookup)
{
	PostgresLookup **link = &lookup->board->running;

	while (*link != lookup)
		link = &(*link)->next;
	*link = lookup->next;
	lookup->board->threads--;
}

static void
resolve(const char *host, PostgresAddresses *addresses)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	addresses->error = getaddrinfo(host, NULL, &hints, &found);
	if (addresses->error != 0)
		return;
	for (struct addrinfo *item = found; item != NULL && addresses->count < SAAS_POSTGRES_MAX_ADDRESSES;
		 item = item->ai_next)
		if (item->ai_addrlen <= sizeof(addresses->items[0]))
			memcpy(&addresses->items[addresses->count++], item->ai_addr, item->ai_addrlen);
	freeaddrinfo(found);
}

static void *
run(void *argument)
{
	PostgresLookup *lookup = argument;
	PostgresBoard *board = lookup->board;
	PostgresAddresses addresses = {0};
	uint64_t	one = 1;

	resolve(lookup->host, &addresses);
	pthread_mutex_lock(&board->mutex);
	lookup->addresses = addresses;
	lookup->is_done = true;
	leave_running(lookup);
	release(lookup);
	/* The room that an abandoned one leaves is news too. */
	if (board->report_fd >= 0 && write(board->report_fd, &one, sizeof(one)) < 0)
		one = 0;				/* a full counter is readable already */
	let_go(board);
	return NULL;
}

static bool
start_thread(PostgresLookup *lookup)
{
	pthread_attr_t attributes;
	pthread_t	thread;
	sigset_t	saved;
	bool		started;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	SaasTransferBlockSignals(&saved);
	started = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
		pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
		pthread_create(&thread, &attributes, run, lookup) == 0;
	SaasTransferRestoreSignals(&saved);
	pthread_attr_destroy(&attributes);
	return started;
}

static PostgresLookup *
make_lookup(PostgresBoard *board, const char *host)
{
	PostgresLookup *lookup = calloc(1, sizeof(PostgresLookup));

	if (lookup == NULL)
		return NULL;
	lookup->board = board;
	lookup->references = 2;
	lookup->host = strdup(host);
	if (lookup->host != NULL)
		return lookup;
	free(lookup);
	return NULL;
}

/* One that is under way for the host, with a reference more; with the mutex held. */
static PostgresLookup *
join(PostgresBoard *board, const char *host)
{
	for (PostgresLookup *lookup = board->running; lookup != NULL; lookup = lookup->next)
	{
		if (strcmp(lookup->host, host) != 0)
			continue;
		lookup->references++;
		return lookup;
	}
	return NULL;
}

/* With the mutex held, so that the thread waits until all is in place. */
static PostgresLookup *
start(PostgresBoard *board, const char *host, uint64 owner)
{
	PostgresLookup *lookup = make_lookup(board, host);

	if (lookup == NULL)
		return NULL;
	lookup->owner = owner;
	if (!start_thread(lookup))
	{
		free(lookup->host);
		free(lookup);
		return NULL;
	}
	lookup->next = board->running;
	board->running = lookup;
	board->threads++;
	board->references++;
	return lookup;
}

/* Whether there is a thread for the owner; with the mutex held. */
static bool
has_share(const PostgresBoard *board, uint64 owner)
{
	int			left = MAX_THREADS / SAAS_TRANSFER_LOOKUP_SHARE;

	if (board->threads >= MAX_THREADS)
		return false;
	for (const PostgresLookup *lookup = board->running; lookup != NULL; lookup = lookup->next)
		left -= lookup->owner == owner;
	return left > 0;
}

PostgresLookup *
SaasPostgresLookupStart(PostgresBoard *board, const char *host, uint64 owner, int *error)
{
	PostgresLookup *lookup;

	*error = 0;
	pthread_mutex_lock(&board->mutex);
	lookup = join(board, host);
	if (lookup == NULL && has_share(board, owner))
	{
		lookup = start(board, host, owner);
		*error = lookup == NULL ? EAI_MEMORY : 0;
	}
	pthread_mutex_unlock(&board->mutex);
	return lookup;
}

bool
SaasPostgresLookupTake(PostgresLookup *lookup, PostgresAddresses *addresses)
{
	bool		is_done;

	pthread_mutex_lock(&lookup->board->mutex);
	is_done = lookup->is_done;
	if (is_done)
		*addresses = lookup->addresses;
	pthread_mutex_unlock(&lookup->board->mutex);
	return is_done;
}

/* The board outlives this: the loop closes it after its sessions. */
void
SaasPostgresLookupRelease(PostgresLookup *lookup)
{
	PostgresBoard *board = lookup->board;

	pthread_mutex_lock(&board->mutex);
	release(lookup);
	pthread_mutex_unlock(&board->mutex);
}

bool
SaasPostgresAddressRead(const char *host, PostgresAddresses *addresses)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *) &addresses->items[0];
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &addresses->items[0];

	memset(addresses, 0, sizeof(*addresses));
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1)
		v4->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1)
		v6->sin6_family = AF_INET6;
	else
		return false;
	addresses->count = 1;
	return true;
}
