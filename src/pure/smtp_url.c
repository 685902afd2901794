/*
 * smtp_url.c
 *	  Where mail is handed in: smtp://host:587 or smtps://host:465.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pure/address.h"
#include "pure/smtp_url.h"

#define ARENA_SIZE	(64 * 1024)

static bool
refuse(SaasProblem *problem)
{
	SaasProblemSet(problem, "22023", "invalid SMTP URL");
	return SaasProblemDetail(problem, "It is smtp://host:port or smtps://host:port and nothing more.");
}

/* The authority of an http URL, so that one reader decides what a host is. */
static bool
parse_authority(const char *authority, SaasArena *arena, SaasSmtpServer *server, SaasProblem *problem)
{
	const char *bracket = strrchr(authority, ']');
	bool		has_port = strchr(bracket ? bracket : authority, ':') != NULL;
	char	   *text = SaasArenaPrintf(arena, "http://%s%s", authority,
									   has_port ? "" : server->is_tls ? ":465" : ":587");
	SaasUrl		url;
	SaasProblem reason = {0};

	if (text == NULL || authority[strcspn(authority, "/?#@")] != '\0' ||
		!SaasUrlParse(text, arena, &url, &reason))
		return refuse(problem);
	if (snprintf(server->host, sizeof(server->host), strchr(url.host, ':') ? "[%s]" : "%s",
				 url.host) >= sizeof(server->host))
		return refuse(problem);
	server->port = url.port;
	return true;
}

bool
SaasSmtpUrlParse(const char *text, SaasSmtpServer *server, SaasProblem *problem)
{
	SaasArena  *arena;
	bool		done;

	memset(server, 0, sizeof(*server));
	if (strncasecmp(text, "smtps://", 8) == 0)
		server->is_tls = true;
	else if (strncasecmp(text, "smtp://", 7) != 0)
		return refuse(problem);
	text += server->is_tls ? 8 : 7;
	arena = SaasArenaCreate(ARENA_SIZE);
	done = arena != NULL && parse_authority(text, arena, server, problem);
	SaasArenaDestroy(arena);
	return done;
}
