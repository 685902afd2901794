/*
 * transfer_socket.c
 *	  Which sockets the loop's epoll descriptor has.
 *
 * Between two requests libcurl lets go of a connection's socket and asks for
 * it again with the next.  So a socket stays in epoll with what was waited for
 * last, which saves two system calls a request; whatever happens to it while
 * nobody waits, such as an end by the peer, takes it out.
 *
 * The kernel takes a socket out that is closed, which must not go unnoticed:
 * only what was opened and is closed by the loop's own callbacks stays.
 */
#include "net/transfer_internal.h"

#include <sys/epoll.h>
#include <unistd.h>

struct TransferSocket
{
	uint32		wanted;			/* events that libcurl waits for */
	uint32		registered;		/* events that epoll has; 0: it has not the socket */
	bool		stays;
};

/* NULL when memory is out. */
static TransferSocket *
find_socket(TransferLoopSockets *sockets, int fd)
{
	if (fd >= sockets->count)
	{
		int			count = Max(fd + 1, 2 * sockets->count);
		TransferSocket *grown = realloc(sockets->items, sizeof(TransferSocket) * (size_t) count);

		if (grown == NULL)
			return NULL;
		memset(grown + sockets->count, 0, sizeof(TransferSocket) * (size_t) (count - sockets->count));
		sockets->items = grown;
		sockets->count = count;
	}
	return &sockets->items[fd];
}

static void
take_out(SaasTransferLoop *loop, int fd)
{
	struct epoll_event event = {0};

	(void) epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, &event);
	loop->sockets.items[fd].registered = 0;
}

bool
SaasTransferSocketWatch(TransferShard *shard, int fd, uint32 events)
{
	SaasTransferLoop *loop = shard->loop;
	TransferSocket *socket = find_socket(&loop->sockets, fd);
	struct epoll_event event = {.events = events};

	if (socket == NULL)
	{
		errno = ENOMEM;
		return false;
	}
	socket->wanted = events;
	if (socket->registered == events)
		return true;
	event.data.u64 = (uint64) shard->index << 32 | (uint32) fd;
	if (epoll_ctl(loop->epoll_fd, socket->registered == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0)
		return false;
	socket->registered = events;
	return true;
}

void
SaasTransferSocketLeave(SaasTransferLoop *loop, int fd)
{
	TransferSocket *socket = find_socket(&loop->sockets, fd);

	if (socket == NULL)
		return;
	socket->wanted = 0;
	if (!socket->stays)
		take_out(loop, fd);
}

bool
SaasTransferSocketIsWanted(SaasTransferLoop *loop, int fd)
{
	if (loop->sockets.items[fd].wanted != 0)
		return true;
	take_out(loop, fd);
	return false;
}

void
SaasTransferSocketOpened(SaasTransferLoop *loop, int fd)
{
	TransferSocket *socket = find_socket(&loop->sockets, fd);

	if (socket == NULL)
		return;
	*socket = (TransferSocket) {.stays = true};
	loop->sockets.open++;
}

bool
SaasTransferSocketsCrowd(const SaasTransferLoop *loop)
{
	return loop->sockets.open - loop->active > loop->max_active;
}

int
SaasTransferSocketClose(void *data, curl_socket_t fd)
{
	SaasTransferLoop *loop = data;

	if (fd < loop->sockets.count)
	{
		loop->sockets.open -= loop->sockets.items[fd].stays;
		loop->sockets.items[fd] = (TransferSocket) {0};
	}
	return close(fd);
}
