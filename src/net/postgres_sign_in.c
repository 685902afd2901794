/*
 * postgres_sign_in.c
 *	  What a server may ask for at the sign-in.
 *
 * libpq does whatever an authentication request says, there and then.  A
 * server that names a thousand million SCRAM iterations would stop the loop
 * for a quarter of an hour, and one that asks for GSSAPI would have the
 * database server's own Kerberos credentials looked up, over the network.  So
 * the message is read before libpq gets it: peeked at, through TLS or from the
 * socket.  The one message that costs must hold the client's part of the nonce,
 * so it cannot have been sent before libpq's last answer, and it is always the
 * first that is unread here.
 */
#include "net/postgres_internal.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define MAX_MESSAGE			2048	/* far above any sign-in's, below a TLS record */

/* The server's default is 4096; 100,000 cost 50 ms. */
#define MAX_ITERATIONS		100000

/* AuthenticationRequest codes (protocol 3.0, "Message Formats"). */
#define AUTH_OK				0
#define AUTH_CLEARTEXT		3
#define AUTH_MD5			5
#define AUTH_SASL			10
#define AUTH_SASL_CONTINUE	11
#define AUTH_SASL_FINAL		12

/* What is unread: 0 when there is none yet, less at the end of it, whatever the reason. */
static int
peek(PostgresSession *session, char *bytes, int size)
{
	SSL		   *ssl = PQsslStruct(session->conn, "OpenSSL");
	int			count;
	int			error;

	if (ssl == NULL)
	{
		count = (int) recv(PQsocket(session->conn), bytes, (size_t) size, MSG_PEEK | MSG_DONTWAIT);
		if (count > 0)
			return count;
		return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? 0 : -1;
	}
	ERR_clear_error();
	count = SSL_peek(ssl, bytes, size);
	if (count > 0)
		return count;
	error = SSL_get_error(ssl, count);
	/* An alert is told once: libpq would not see it any more. */
	if (error == SSL_ERROR_SSL)
		SaasPostgresFailTls(session, ERR_reason_error_string(ERR_peek_error()));
	ERR_clear_error();
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static uint32
read_uint32(const char *bytes)
{
	const unsigned char *b = (const unsigned char *) bytes;

	return (uint32) b[0] << 24 | (uint32) b[1] << 16 | (uint32) b[2] << 8 | b[3];
}

static bool
refuse(PostgresSession *session, const char *what)
{
	SaasPostgresFail(session, false, "08P01", "%s asks for %s at the sign-in, which is not supported",
					 session->request->host, what);
	return false;
}

/* A server that takes the certificate alone does not ask. */
static bool
check_password(PostgresSession *session)
{
	if (session->request->password != NULL)
		return true;
	SaasPostgresFail(session, false, "28000", "%s asks for a password, and the connection has none",
					 session->request->host);
	SaasProblemHint(&session->result.problem, "Give the connection the secret password.");
	return false;
}

/* "r=...,s=...,i=4096" (RFC 5802, section 5.1); neither value before holds a comma. */
static bool
check_iterations(PostgresSession *session, const char *text)
{
	const char *found = strstr(text, ",i=");
	long		iterations = found != NULL ? strtol(found + 3, NULL, 10) : 0;

	if (found != NULL && (iterations > MAX_ITERATIONS || strlen(found) > 3 + 10))
		return refuse(session, "more than 100000 SCRAM iterations");
	return true;
}

/* The message of the first length bytes, which is whole; is_last says that no other may follow. */
static bool
check_request(PostgresSession *session, const char *body, size_t length, bool *is_last)
{
	char		text[MAX_MESSAGE + 1];
	uint32		code = read_uint32(body);

	*is_last = code != AUTH_SASL_FINAL;
	switch (code)
	{
		case AUTH_OK:
		case AUTH_SASL_FINAL:
			return true;
		case AUTH_MD5:
		case AUTH_SASL:
			return check_password(session);
		case AUTH_CLEARTEXT:
			return session->request->security == SAAS_DATABASE_PLAIN ?
				refuse(session, "the password itself without TLS") : check_password(session);
		case AUTH_SASL_CONTINUE:
			memcpy(text, body + 4, length - 4);
			text[length - 4] = '\0';
			return check_iterations(session, text);
		default:
			return refuse(session, "a kind of authentication other than a password");
	}
}

/* The messages that are there; false when they are none that we answer. */
static bool
check_messages(PostgresSession *session, const char *bytes, int count)
{
	int			at = 0;

	/* Errors are libpq's to read. */
	while (at < count && bytes[at] != 'E')
	{
		uint32		length = count - at >= 9 ? read_uint32(bytes + at + 1) : 0;
		bool		is_last;

		/* Servers write each at once, and nothing before they have our answer. */
		if (bytes[at] != 'R' || length < 8 || length > (uint32) (count - at - 1))
			return refuse(session, "something malformed");
		if (!check_request(session, bytes + at + 5, length - 4, &is_last))
			return false;
		if (read_uint32(bytes + at + 5) == AUTH_OK)
			return true;
		at += (int) length + 1;
		if (is_last && at < count)
			return refuse(session, "several things at once");
	}
	return true;
}

PostgresSignIn
SaasPostgresSignInCheck(PostgresSession *session)
{
	char		bytes[MAX_MESSAGE];
	int			count = peek(session, bytes, sizeof(bytes));

	if (session->phase == POSTGRES_FINISHED)
		return POSTGRES_SIGN_IN_FAILED;
	/* Were libpq called now, it might find what came meanwhile. */
	if (count == 0)
		return POSTGRES_SIGN_IN_WAIT;
	/* What is over or broken is libpq's to find out. */
	return count < 0 || check_messages(session, bytes, count) ? POSTGRES_SIGN_IN_GO : POSTGRES_SIGN_IN_FAILED;
}
