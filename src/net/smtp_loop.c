/*
 * smtp_loop.c
 *	  The life of an SMTP loop, libcurl's part of it, and the public calls.
 */
#include "net/smtp_internal.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define EVENTS_PER_STEP		32
#define FDS_PER_MAIL		4	/* a socket that another races, and the resolver's */
#define FDS_OF_LOOP			4

/* libcurl's own sockets; those of our conversations are told by their mail. */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *known)
{
	SaasSmtpLoop *loop = data;
	struct epoll_event event = {0};

	(void) easy;
	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	event.data.fd = fd;
	/* A socket that cannot be watched ends at its deadline. */
	if (epoll_ctl(loop->epoll_fd, known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) == 0)
		curl_multi_assign(loop->multi, fd, loop);
	return 0;
}

bool
SaasSmtpWatch(SmtpMail *mail, bool for_output)
{
	struct epoll_event event = {0};

	event.events = EPOLLIN | (for_output ? EPOLLOUT : 0);
	event.data.fd = mail->fd;
	return epoll_ctl(mail->loop->epoll_fd, EPOLL_CTL_MOD, mail->fd, &event) == 0 ||
		epoll_ctl(mail->loop->epoll_fd, EPOLL_CTL_ADD, mail->fd, &event) == 0;
}

static int
set_timer(CURLM *multi, long timeout_ms, void *data)
{
	SaasSmtpLoop *loop = data;

	(void) multi;
	loop->timer_at = timeout_ms < 0 ? -1 : SaasTransferNow() + (int64) timeout_ms * 1000;
	return 0;
}

static curl_socket_t
open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	SmtpMail   *mail = data;

	(void) purpose;
	mail->has_connected = true;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* libcurl hands over every line of the server: the last one may be the reason. */
static size_t
keep_line(char *line, size_t size, size_t count, void *data)
{
	SmtpMail   *mail = data;
	size_t		length = size * count;

	mail->reply_length += length;
	if (mail->reply_length > SAAS_SMTP_MAX_REPLY * 8)
		return 0;
	while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
		length--;
	length = Min(length, sizeof(mail->last_line) - 1);
	memcpy(mail->last_line, line, length);
	mail->last_line[length] = '\0';
	SaasCleanText(mail->last_line);
	return size * count;
}

static size_t
drop_body(char *bytes, size_t size, size_t count, void *data)
{
	(void) bytes;
	(void) data;
	return size * count;
}

#define SET(option, value) \
	(done = done && curl_easy_setopt(mail->easy, option, value) == CURLE_OK)

static bool
set_server(SmtpMail *mail, const SaasSmtpOptions *options)
{
	char		url[300];
	bool		done = true;

	snprintf(url, sizeof(url), "%s://%s:%d", options->server.is_tls ? "smtps" : "smtp",
			 options->server.host, options->server.port);
	SET(CURLOPT_PRIVATE, mail);
	SET(CURLOPT_ERRORBUFFER, mail->curl_error);
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_CONNECT_ONLY, 1L);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, mail);
	SET(CURLOPT_HEADERFUNCTION, keep_line);
	SET(CURLOPT_HEADERDATA, mail);
	SET(CURLOPT_WRITEFUNCTION, drop_body);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) (options->connect_timeout_ms + options->timeout_ms));
	return done;
}

static bool
set_security(SmtpMail *mail, const SaasSmtpOptions *options)
{
	bool		done = true;

	SET(CURLOPT_USE_SSL, (long) (options->require_tls ? CURLUSESSL_ALL :
								 options->use_tls ? CURLUSESSL_TRY : CURLUSESSL_NONE));
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_CAPATH, (char *) NULL);
	SET(CURLOPT_CAINFO, options->ca_file ? options->ca_file : SaasTransferSystemAuthorities());
	if (options->user != NULL)
	{
		SET(CURLOPT_USERNAME, options->user);
		SET(CURLOPT_PASSWORD, options->password ? options->password : "");
	}
	return done;
}

#undef SET

/* With a "." before each that begins a line, and the "." that ends it (RFC 5321, section 4.5.2). */
static bool
copy_message(SmtpMail *mail, const char *message, size_t length)
{
	char	   *to = mail->message = malloc(length * 2 + 4);
	bool		begins_line = true;

	if (to == NULL)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (begins_line && message[i] == '.')
			*to++ = '.';
		*to++ = message[i];
		begins_line = message[i] == '\n';
	}
	memcpy(to, ".\r\n", 3);
	mail->message_length = (size_t) (to - mail->message) + 3;
	return true;
}

/* Frees what only the sending needs. */
static void
strip(SmtpMail *mail)
{
	if (mail->easy != NULL)
	{
		curl_multi_remove_handle(mail->loop->multi, mail->easy);
		curl_easy_cleanup(mail->easy);
	}
	mail->easy = NULL;
	mail->fd = -1;
	if (mail->message != NULL)
		explicit_bzero(mail->message, mail->message_length);
	free(mail->message);
	free(mail->from);
	free(mail->to);
	mail->message = mail->from = mail->to = NULL;
}

void
SaasSmtpFinish(SmtpMail *mail)
{
	strip(mail);
	mail->step = SMTP_FINISHED;
}

static void
drop(SmtpMail *mail)
{
	SmtpMail  **link = &mail->loop->mails;

	while (*link != mail)
		link = &(*link)->next;
	*link = mail->next;
	mail->loop->count--;
	strip(mail);
	free(mail);
}

/* Runs when the context goes, in the middle of an abort too: it must not raise. */
static void
close_loop(void *data)
{
	SaasSmtpLoop *loop = data;
	sigset_t	saved;

	SaasTransferBlockSignals(&saved);
	while (loop->mails != NULL)
		drop(loop->mails);
	if (loop->multi != NULL)
		curl_multi_cleanup(loop->multi);
	SaasTransferRestoreSignals(&saved);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	for (; loop->reserved_fds > 0; loop->reserved_fds--)
		ReleaseExternalFD();
}

static bool
open_multi(SaasSmtpLoop *loop)
{
	CURLM	   *multi = loop->multi = curl_multi_init();

	return multi != NULL &&
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, loop) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_TIMERDATA, loop) == CURLM_OK &&
		SaasTransferSetThreads(multi, loop->max_in_flight);
}

SaasSmtpLoop *
SaasSmtpLoopCreate(MemoryContext context, int max_in_flight)
{
	SaasSmtpLoop *loop = MemoryContextAllocZero(context, sizeof(SaasSmtpLoop));
	sigset_t	saved;
	bool		done;

	SaasTransferInitLibcurl();
	loop->max_in_flight = max_in_flight;
	loop->timer_at = -1;
	loop->epoll_fd = -1;
	loop->on_reset.func = close_loop;
	loop->on_reset.arg = loop;
	MemoryContextRegisterResetCallback(context, &loop->on_reset);
	while (loop->reserved_fds < FDS_OF_LOOP + FDS_PER_MAIL * max_in_flight && AcquireExternalFD())
		loop->reserved_fds++;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not create an epoll descriptor: %m")));
	SaasTransferBlockSignals(&saved);
	done = open_multi(loop);
	SaasTransferRestoreSignals(&saved);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not create the mail loop's handles")));
	return loop;
}

int
SaasSmtpDescriptor(const SaasSmtpLoop *loop)
{
	return loop->epoll_fd;
}

int
SaasSmtpCount(const SaasSmtpLoop *loop)
{
	return loop->count;
}

static bool
start(SmtpMail *mail, const SaasSmtpOptions *options, const char *from, const char *to,
	  const char *message, Size length)
{
	mail->easy = curl_easy_init();
	mail->from = strdup(from);
	mail->to = strdup(to);
	return mail->easy != NULL && mail->from != NULL && mail->to != NULL &&
		copy_message(mail, message, length) && set_server(mail, options) && set_security(mail, options) &&
		curl_multi_add_handle(mail->loop->multi, mail->easy) == CURLM_OK;
}

bool
SaasSmtpStart(SaasSmtpLoop *loop, const SaasSmtpOptions *options, const char *from, const char *to,
			  const char *message, Size length, void *tag, SaasProblem *problem)
{
	SmtpMail   *mail = loop->count < loop->max_in_flight ? calloc(1, sizeof(SmtpMail)) : NULL;
	sigset_t	saved;
	bool		done;

	if (mail == NULL)
		return SaasProblemSet(problem, "53200", "no room for another mail");
	mail->loop = loop;
	mail->fd = -1;
	mail->server = options->server;
	mail->timeout_ms = options->timeout_ms;
	mail->connect_timeout_ms = options->connect_timeout_ms;
	mail->deadline = SaasTransferNow() +
		((int64) options->connect_timeout_ms + options->timeout_ms) * 1000;
	mail->result.tag = tag;
	mail->next = loop->mails;
	loop->mails = mail;
	loop->count++;
	SaasTransferBlockSignals(&saved);
	done = start(mail, options, from, to, message, length);
	if (!done)
		drop(mail);
	SaasTransferRestoreSignals(&saved);
	return done || SaasProblemSet(problem, "53200", "out of memory for a mail");
}

long
SaasSmtpTimeout(const SaasSmtpLoop *loop)
{
	int64		at = loop->timer_at;
	int64		now = SaasTransferNow();

	for (SmtpMail *mail = loop->mails; mail != NULL; mail = mail->next)
	{
		if (mail->step == SMTP_FINISHED)
			return 0;
		at = at < 0 ? mail->deadline : Min(at, mail->deadline);
	}
	return at < 0 ? -1 : at <= now ? 0 : (long) ((at - now + 999) / 1000);
}

static SmtpMail *
find_mail(SaasSmtpLoop *loop, int fd)
{
	for (SmtpMail *mail = loop->mails; mail != NULL; mail = mail->next)
	{
		if (mail->fd == fd)
			return mail;
	}
	return NULL;
}

static void
serve_sockets(SaasSmtpLoop *loop)
{
	struct epoll_event events[EVENTS_PER_STEP];
	int			ready = epoll_wait(loop->epoll_fd, events, EVENTS_PER_STEP, 0);
	int			running;

	for (int i = 0; i < ready; i++)
	{
		int			fd = events[i].data.fd;
		SmtpMail   *mail = find_mail(loop, fd);
		int			mask = 0;

		if (mail != NULL)
		{
			SaasSmtpTalk(mail);
			continue;
		}
		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP))
			mask |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (events[i].events & EPOLLERR)
			mask |= CURL_CSELECT_ERR;
		curl_multi_socket_action(loop->multi, fd, mask, &running);
	}
}

static void
serve_timer(SaasSmtpLoop *loop)
{
	int			running;

	if (loop->timer_at < 0 || loop->timer_at > SaasTransferNow())
		return;
	loop->timer_at = -1;
	curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

/* Mails whose connection is signed in, or will not be. */
static void
collect(SaasSmtpLoop *loop)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(loop->multi, &left)) != NULL)
	{
		CURLcode	code = message->data.result;
		SmtpMail   *mail = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &mail);
		if (code == CURLE_OK)
			SaasSmtpTalkBegin(mail);
		else
		{
			SaasSmtpFailConnect(mail, code);
			SaasSmtpFinish(mail);
		}
	}
}

static void
expire(SaasSmtpLoop *loop)
{
	int64		now = SaasTransferNow();

	for (SmtpMail *mail = loop->mails; mail != NULL; mail = mail->next)
	{
		if (mail->step == SMTP_FINISHED || mail->deadline > now)
			continue;
		SaasSmtpFailTimeout(mail);
		SaasSmtpFinish(mail);
	}
}

void
SaasSmtpStep(SaasSmtpLoop *loop)
{
	sigset_t	saved;

	if (loop->mails == NULL)
		return;
	SaasTransferBlockSignals(&saved);
	serve_sockets(loop);
	serve_timer(loop);
	collect(loop);
	expire(loop);
	SaasTransferRestoreSignals(&saved);
}

bool
SaasSmtpTake(SaasSmtpLoop *loop, SaasSmtpResult *result)
{
	for (SmtpMail *mail = loop->mails; mail != NULL; mail = mail->next)
	{
		if (mail->step != SMTP_FINISHED)
			continue;
		*result = mail->result;
		drop(mail);
		return true;
	}
	return false;
}
