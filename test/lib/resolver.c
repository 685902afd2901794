/*
 * resolver.c
 *	  A double of the system's resolver for a server under test: preloaded, it
 *	  answers for the names in the file that SAAS_TEST_HOSTS names and leaves all
 *	  others to the C library.
 *
 * A line of the file is a name and what becomes of it: addresses, "none" (no
 * such name), "broken" (the servers fail) or "hangs" (no answer until the line
 * changes).  The file is read for each look-up.  Connections to port 443 of the
 * machine itself go to the port that SAAS_TEST_HTTPS_PORT names, where it does.
 * The clocks that libraries count with are ahead by the seconds in the file that
 * SAAS_TEST_CLOCK names, an integer of 64 bits.
 *
 * These variables are read when the server starts: while libpq looks at the
 * poller's environment it is another one (net/postgres_connect.c), and look-ups
 * run in threads of their own.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_LINE	256
#define MAX_PATH	1024
#define LOOK_AGAIN_MS	20

typedef int (*getaddrinfo_function) (const char *, const char *, const struct addrinfo *,
									 struct addrinfo **);

extern int	getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
						struct addrinfo **result);

static char hosts_file[MAX_PATH];
static in_port_t https_port;	/* in network order; 0: none */

/* Copied, because the server's processes write their titles where the environment was. */
__attribute__((constructor))
static void
read_environment(void)
{
	const char *path = getenv("SAAS_TEST_HOSTS");
	const char *port = getenv("SAAS_TEST_HTTPS_PORT");

	if (path != NULL && (size_t) snprintf(hosts_file, sizeof(hosts_file), "%s", path) >= sizeof(hosts_file))
		abort();
	if (port != NULL)
		https_port = htons((in_port_t) strtol(port, NULL, 10));
}

/* The words that follow the name; 0 when the file does not have it. */
static int
read_line(const char *name, char words[MAX_LINE])
{
	FILE	   *file = hosts_file[0] != '\0' ? fopen(hosts_file, "r") : NULL;
	size_t		length = strlen(name);
	int			found = 0;

	while (file != NULL && !found && fgets(words, MAX_LINE, file) != NULL)
		found = strncmp(words, name, length) == 0 && words[length] == ' ';
	if (file != NULL)
		fclose(file);
	if (found)
	{
		words[strcspn(words, "\n")] = '\0';
		memmove(words, words + length + 1, strlen(words + length + 1) + 1);
	}
	return found;
}

/*
 * Whoever asks for one family gets no address of the other, as of name servers.
 * The C library would turn ::ffff:10.0.0.1 into 10.0.0.1 for it.
 */
static int
is_asked_for(const char *address, int family)
{
	return family == AF_UNSPEC || (family == AF_INET6) == (strchr(address, ':') != NULL);
}

static int
resolve(getaddrinfo_function real, char *addresses, const char *service,
		const struct addrinfo *hints, struct addrinfo **result)
{
	struct addrinfo numeric = *hints;
	struct addrinfo **next = result;
	char	   *rest = NULL;

	*result = NULL;
	numeric.ai_flags |= AI_NUMERICHOST;
	for (char *address = strtok_r(addresses, " ", &rest); address != NULL;
		 address = strtok_r(NULL, " ", &rest))
	{
		int			code;

		if (!is_asked_for(address, hints->ai_family))
			continue;
		code = real(address, service, &numeric, next);
		if (code != 0)
			return code;
		/* One list, as the C library would free it. */
		while (*next != NULL)
			next = &(*next)->ai_next;
	}
	return *result != NULL ? 0 : EAI_NONAME;
}

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
			struct addrinfo **result)
{
	struct addrinfo none = {0};
	getaddrinfo_function real;
	char		words[MAX_LINE];

	*(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
	for (;;)
	{
		if (name == NULL || !read_line(name, words))
			return real(name, service, hints, result);
		if (strcmp(words, "hangs") != 0)
			break;
		poll(NULL, 0, LOOK_AGAIN_MS);
	}
	if (strcmp(words, "none") == 0)
		return EAI_NONAME;
	if (strcmp(words, "broken") == 0)
		return EAI_AGAIN;
	return resolve(real, words, service, hints != NULL ? hints : &none, result);
}

typedef int (*connect_function) (int, const struct sockaddr *, socklen_t);

extern int	connect(int fd, const struct sockaddr *address, socklen_t length);

int
connect(int fd, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_in other;
	connect_function real;

	*(void **) &real = dlsym(RTLD_NEXT, "connect");
	if (https_port == 0 || address->sa_family != AF_INET || length < sizeof(other))
		return real(fd, address, length);
	memcpy(&other, address, sizeof(other));
	if (other.sin_port == htons(443) && other.sin_addr.s_addr == htonl(INADDR_LOOPBACK))
		other.sin_port = https_port;
	return real(fd, (struct sockaddr *) &other, sizeof(other));
}

static const volatile int64_t none_ahead = 0;
static const volatile int64_t *ahead = &none_ahead;

__attribute__((constructor))
static void
map_clock(void)
{
	const char *path = getenv("SAAS_TEST_CLOCK");
	int			fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void	   *mapped;

	if (fd < 0)
		return;
	mapped = mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped != MAP_FAILED)
		ahead = mapped;
}

typedef int (*clock_gettime_function) (clockid_t, struct timespec *);
typedef time_t (*time_function) (time_t *);

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	static clock_gettime_function real;
	int			result;

	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "clock_gettime");
	result = real(clock, now);
	if (result == 0 && (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW))
		now->tv_sec += *ahead;
	return result;
}

time_t
time(time_t *also)
{
	static time_function real;
	time_t		now;

	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "time");
	now = real(NULL) + *ahead;
	if (also != NULL)
		*also = now;
	return now;
}
