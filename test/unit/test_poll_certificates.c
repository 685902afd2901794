/*
 * test_poll_certificates.c
 *	  src/connector/poll.c: where a connection's own certificates may go.
 */
#include "connector/poll.h"

#include "tap.h"

static SaasSecret key = {"client_key", "KEY", NULL};
static SaasSecret certificate = {"client_certificate", "CERTIFICATE", &key};
static SaasSecret authority = {"ca_certificate", "AUTHORITY", &certificate};

int
main(void)
{
	SaasArena  *arena = SaasArenaCreate(1024 * 1024);
	SaasPoll	poll = {.arena = arena, .secrets = &authority};

	poll.config = "{\"url\":\"https://own.example.com/metrics?a=b\"}";
	ok(SaasPollRequest(&poll, "GET", "https://own.example.com/metrics?a=b", NULL) &&
	   poll.request.ca_certificate && strcmp(poll.request.ca_certificate, "AUTHORITY") == 0 &&
	   poll.request.client_certificate && strcmp(poll.request.client_certificate, "CERTIFICATE") == 0 &&
	   poll.request.client_key && strcmp(poll.request.client_key, "KEY") == 0, "to its own address");
	ok(SaasPollRequest(&poll, "POST", "https://OWN.example.com:443/token", NULL) && poll.request.ca_certificate,
	   "to its own host, written otherwise");
	ok(SaasPollRequest(&poll, "POST", "https://login.example.com/token", NULL) && !poll.request.ca_certificate &&
	   !poll.request.client_certificate && !poll.request.client_key, "not to another host");
	ok(SaasPollRequest(&poll, "GET", "https://own.example.com:8443/", NULL) && !poll.request.ca_certificate,
	   "nor to another port");
	poll.config = "{\"instance_url\":\"https://own.example.com\"}";
	ok(SaasPollRequest(&poll, "GET", "https://own.example.com/", NULL) && !poll.request.ca_certificate,
	   "nor anywhere without a url");
	poll.config = "{\"url\":\"https://own.example.com/\"}";
	poll.secrets = NULL;
	ok(SaasPollRequest(&poll, "GET", "https://own.example.com/", NULL) && !poll.request.ca_certificate &&
	   !poll.request.is_fresh, "none without any");
	SaasArenaDestroy(arena);
	return tap_done();
}
