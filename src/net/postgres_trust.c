/*
 * postgres_trust.c
 *	  Certificates that a session brings of its own.
 *
 * libpq takes them from files and from nothing else.  So a loop has three that
 * have no name, no disk and no program but this one: the mode is the one that
 * libpq wants of a key's file, and what they hold is there only while libpq
 * reads it, which it does in the call that begins the handshake.  One set does
 * for all sessions, because one is served at a time; it is written anew for
 * each, so that none is ever read with what another brought.
 */
#include "net/postgres_internal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ssl.h>

static const char *
text_of(const SaasDatabaseRequest *request, PostgresTrustFile file)
{
	switch (file)
	{
		case POSTGRES_TRUST_AUTHORITY:
			return request->ca_certificate;
		case POSTGRES_TRUST_CERTIFICATE:
			return request->client_certificate;
		case POSTGRES_TRUST_KEY:
			return request->client_key;
		case POSTGRES_TRUST_FILES:
			break;
	}
	return NULL;
}

static bool
brings_any(const SaasDatabaseRequest *request)
{
	return request->ca_certificate != NULL || request->client_certificate != NULL ||
		request->client_key != NULL;
}

static bool
make_file(int *fd)
{
	if (*fd >= 0)
		return true;
	*fd = memfd_create("pg_saas", MFD_CLOEXEC);
	return *fd >= 0 && fchmod(*fd, S_IRUSR | S_IWUSR) == 0;
}

/* They are made when the first session needs them, and stay: libpq was told their numbers. */
bool
SaasPostgresTrustOpen(PostgresSession *session)
{
	if (!brings_any(session->request))
		return true;
	for (int i = 0; i < POSTGRES_TRUST_FILES; i++)
		if (!make_file(&session->loop->trust_fds[i]))
			return false;
	return true;
}

const char *
SaasPostgresTrustPath(const PostgresSession *session, PostgresTrustFile file,
					  char path[SAAS_POSTGRES_TRUST_PATH])
{
	if (text_of(session->request, file) == NULL)
		return NULL;
	snprintf(path, SAAS_POSTGRES_TRUST_PATH, SAAS_POSTGRES_TRUST_PATHS "%d",
			 session->loop->trust_fds[file]);
	return path;
}

void
SaasPostgresTrustClose(SaasPostgresLoop *loop)
{
	for (int i = 0; i < POSTGRES_TRUST_FILES; i++)
	{
		if (loop->trust_fds[i] >= 0)
			close(loop->trust_fds[i]);
		loop->trust_fds[i] = -1;
	}
}

/* Later calls read nothing any more. */
static bool
will_read(const PostgresSession *session)
{
	return brings_any(session->request) && PQsslStruct(session->conn, "OpenSSL") == NULL;
}

bool
SaasPostgresTrustLend(PostgresSession *session)
{
	if (!will_read(session))
		return true;
	for (int i = 0; i < POSTGRES_TRUST_FILES; i++)
	{
		const char *text = text_of(session->request, (PostgresTrustFile) i);
		ssize_t		length = text != NULL ? (ssize_t) strlen(text) : 0;

		if (ftruncate(session->loop->trust_fds[i], 0) != 0 ||
			(length > 0 && pwrite(session->loop->trust_fds[i], text, (size_t) length, 0) != length))
			return false;
	}
	return true;
}

/* Freed pages keep what they held until they serve again. */
static void
wipe(int fd)
{
	static const char zeros[4096];
	struct stat file;

	if (fstat(fd, &file) != 0)
		return;
	for (off_t at = 0; at < file.st_size; at += sizeof(zeros))
		if (pwrite(fd, zeros, (size_t) Min(file.st_size - at, (off_t) sizeof(zeros)), at) < 0)
			break;
	/* A failure has no consequence but here: who lends it next empties it, or fails. */
	if (ftruncate(fd, 0) != 0)
		return;
}

void
SaasPostgresTrustTakeBack(PostgresSession *session)
{
	if (!brings_any(session->request))
		return;
	for (int i = 0; i < POSTGRES_TRUST_FILES; i++)
		wipe(session->loop->trust_fds[i]);
}

/* The session that is being served: OpenSSL's callbacks have no other way to learn it. */
static PostgresSession *verifying;

/* What libpq made last for it, and makes its connection of. */
static SSL_CTX *met_context;

/* Verifies as OpenSSL does without it, and notes what was wrong. */
static int
verify(X509_STORE_CTX *context, void *argument)
{
	int			verified = X509_verify_cert(context);

	(void) argument;
	if (verified > 0)
		return verified;
	if (verifying != NULL)
		verifying->verdict = X509_STORE_CTX_get_error(context);
	return 0;
}

/*
 * No finite-field Diffie-Hellman of TLS 1.2, whose numbers the server makes up:
 * those of 10,000 bits, which OpenSSL takes, cost a second.  What else the
 * system allows stays.
 */
static void
drop_dear_ciphers(SSL_CTX *context)
{
	STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(context);
	char		names[8192] = "";
	size_t		length = 0;

	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
	{
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);

		if (SSL_CIPHER_get_kx_nid(cipher) == NID_kx_dhe || SSL_CIPHER_get_kx_nid(cipher) == NID_kx_dhe_psk ||
			SSL_CIPHER_get_kx_nid(cipher) == NID_kx_any || length >= sizeof(names) - 100)
			continue;
		length += (size_t) snprintf(names + length, sizeof(names) - length, "%s%s", length > 0 ? ":" : "",
									SSL_CIPHER_get_name(cipher));
	}
	if (length > 0)
		(void) SSL_CTX_set_cipher_list(context, names);
}

/*
 * libpq sets TLS up, begins the handshake and, when it fails, forgets all of it
 * in one call, and tells of a refused certificate only that it was: so we meet
 * what it makes as it is made.  That is before it is whole: of a connection in
 * the making nothing may be asked (from OpenSSL 3.6 on it has no context yet),
 * but the context that it is made of is ready, and whatever we set there holds
 * for the connection.
 */
static void
meet_context(void *parent, void *value, CRYPTO_EX_DATA *data, int index, long number, void *argument)
{
	(void) value;
	(void) data;
	(void) index;
	(void) number;
	(void) argument;
	if (verifying != NULL)
		met_context = parent;
}

static void
meet_connection(void *parent, void *value, CRYPTO_EX_DATA *data, int index, long number, void *argument)
{
	(void) parent;
	(void) value;
	(void) data;
	(void) index;
	(void) number;
	(void) argument;
	if (met_context == NULL)
		return;
	SSL_CTX_set_cert_verify_callback(met_context, verify, NULL);
	drop_dear_ciphers(met_context);
	met_context = NULL;
}

void
SaasPostgresTrustListen(PostgresSession *session)
{
	static bool meets_contexts = false;
	static bool meets_connections = false;

	if (!meets_contexts)
		meets_contexts = SSL_CTX_get_ex_new_index(0, NULL, meet_context, NULL, NULL) >= 0;
	if (!meets_connections)
		meets_connections = SSL_get_ex_new_index(0, NULL, meet_connection, NULL, NULL) >= 0;
	verifying = session;
	session->verdict = X509_V_OK;
}

void
SaasPostgresTrustStopListening(void)
{
	verifying = NULL;
	met_context = NULL;
}
