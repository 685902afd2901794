/*
 * database.h
 *	  Questions to a PostgreSQL server and its answers, as a connector writes
 *	  and reads them and the network layer carries them.
 */
#ifndef SAAS_DATABASE_H
#define SAAS_DATABASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SaasDatabaseSecurity
{
	SAAS_DATABASE_VERIFY_FULL,	/* TLS; certificate and host name are checked */
	SAAS_DATABASE_VERIFY_CA,	/* TLS; the certificate alone: only where plain is allowed too */
	SAAS_DATABASE_PLAIN			/* no TLS: only where the operator allows it */
} SaasDatabaseSecurity;

typedef struct SaasDatabaseQuery
{
	const char *name;			/* what errors call it */
	const char *sql;			/* one statement that gives rows */
} SaasDatabaseQuery;

typedef struct SaasDatabaseRequest
{
	const char *host;			/* one name or address */
	int			port;
	const char *dbname;
	const char *user;
	const char *password;		/* never empty; NULL when a certificate says who it is */
	SaasDatabaseSecurity security;

	/* PEM texts; NULL when there are none */
	const char *ca_certificate; /* trusted in place of the loop's authorities */
	const char *client_certificate;
	const char *client_key;
	const SaasDatabaseQuery *queries;	/* asked one after the other, each on its own */
	size_t		query_count;
	size_t		max_rows;		/* of all queries together */
	uint64_t	owner;			/* whose share of the host's places and of look-ups it takes */
} SaasDatabaseRequest;

typedef enum SaasDatabaseType
{
	SAAS_DATABASE_TEXT,
	SAAS_DATABASE_NUMBER,
	SAAS_DATABASE_BOOLEAN,		/* "t" or "f" */
	SAAS_DATABASE_OTHER			/* neither a value nor a label: a time, a document, bytes */
} SaasDatabaseType;

typedef struct SaasDatabaseColumn
{
	const char *name;
	SaasDatabaseType type;
} SaasDatabaseColumn;

typedef struct SaasDatabaseRow
{
	const char **cells;			/* one a column, NULL for null; UTF-8 is not promised */
	struct SaasDatabaseRow *next;
} SaasDatabaseRow;

/* What one query gave: rows, or the server's error. */
typedef struct SaasDatabaseResult
{
	char		sqlstate[6];	/* "" when it went well */
	const char *message;		/* the server's own, uncleaned; NULL when it went well */
	SaasDatabaseColumn *columns;
	size_t		column_count;
	SaasDatabaseRow *rows;
	size_t		row_count;
} SaasDatabaseResult;

typedef struct SaasDatabaseAnswer
{
	char		refusal[6];		/* the SQLSTATE with which the server refused the session, or "" */
	const char *refusal_message;	/* uncleaned; NULL without a refusal */
	int			server_version; /* as in 150004 */
	SaasDatabaseResult *results;	/* one a query, when not refused */
} SaasDatabaseAnswer;

#endif							/* SAAS_DATABASE_H */
