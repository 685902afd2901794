/*
 * transfer_descriptor.c
 *	  How many descriptors the loop may use.
 *
 * PostgreSQL plans with max_safe_fds descriptors of its own.  A thousand
 * sockets counted against those would leave it none to keep files open with,
 * so the process's soft limit is raised by what the loop needs; only where the
 * hard limit does not allow that is the rest taken from PostgreSQL's share, as
 * fd.c's external descriptors.  With fewer than wished for, fewer transfers
 * run at a time and the others wait.
 */
#include "net/transfer_internal.h"

#include <sys/resource.h>

#include "storage/fd.h"

/* What PostgreSQL holds besides max_safe_fds: its reserve, and standard files. */
#define SERVER_MARGIN			64

/* An active transfer's socket, and one more that races it or idles in the pool. */
#define FDS_PER_TRANSFER		2

/* libcurl's pair to its resolver thread, and the resolver's own sockets. */
#define FDS_PER_LOOKUP			4

/* libcurl's wake-up pair of every multi handle. */
#define FDS_PER_SHARD			2

/* External descriptors left to others in the process, such as WaitLatch's sets. */
#define LEFT_TO_OTHERS			16

/* Look-ups at a time where descriptors are scarce. */
#define FEW_LOOKUPS				4

/* Below this many at a time the loop is of no use. */
#define MIN_ACTIVE				4

static int64
fixed_need(const SaasTransferLoop *loop)
{
	return 1 + FDS_PER_SHARD * loop->shard_count + FDS_PER_LOOKUP * loop->max_lookups;
}

/* Descriptors beyond PostgreSQL's plan, after raising the soft limit. */
static int64
room_beyond_server(int64 wanted)
{
	int64		planned = (int64) max_safe_fds + SERVER_MARGIN;
	struct rlimit limit;
	int64		room;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < (rlim_t) (planned + wanted))
	{
		struct rlimit raised = limit;

		raised.rlim_cur = Min((rlim_t) (planned + wanted), limit.rlim_max);
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > (rlim_t) INT_MAX)
		return wanted;
	room = (int64) limit.rlim_cur - planned;
	return Max(room, 0);
}

/* Takes up to wanted descriptors out of PostgreSQL's share; returns how many. */
static int
reserve(SaasTransferLoop *loop, int64 wanted)
{
	int			spare = 0;

	if (wanted <= 0)
		return 0;
	while (loop->reserved_fds < wanted && AcquireExternalFD())
		loop->reserved_fds++;

	/* Others need to get some too. */
	while (spare < LEFT_TO_OTHERS && AcquireExternalFD())
		spare++;
	for (int i = 0; i < spare; i++)
		ReleaseExternalFD();
	for (; spare < LEFT_TO_OTHERS && loop->reserved_fds > 0; spare++)
	{
		ReleaseExternalFD();
		loop->reserved_fds--;
	}
	return loop->reserved_fds;
}

void
SaasTransferDescriptorsTake(SaasTransferLoop *loop)
{
	int64		wanted;
	int64		room;

	loop->max_lookups = Min(SAAS_TRANSFER_MAX_LOOKUPS, loop->options.max_in_flight);
	wanted = fixed_need(loop) + FDS_PER_TRANSFER * (int64) loop->options.max_in_flight;
	room = room_beyond_server(wanted);
	room += reserve(loop, wanted - room);

	/* Sockets come first where there are few. */
	if (room < 2 * fixed_need(loop))
	{
		loop->max_lookups = Min(FEW_LOOKUPS, loop->max_lookups);
		loop->shard_count = 1;
	}
	loop->max_active = (int) Min((room - fixed_need(loop)) / FDS_PER_TRANSFER,
								 loop->options.max_in_flight);
	if (loop->max_active < Min(MIN_ACTIVE, loop->options.max_in_flight))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("too few file descriptors for network transfers"),
				 errdetail("%lld are available, %lld are wanted.",
						   (long long) room, (long long) wanted),
				 errhint("Raise the server's limit on open files, or lower "
						 "max_files_per_process.")));
}

void
SaasTransferDescriptorsRelease(SaasTransferLoop *loop)
{
	for (; loop->reserved_fds > 0; loop->reserved_fds--)
		ReleaseExternalFD();
}
