/*
 * secret_path.c
 *	  Whether anybody else could have put another file at a path.
 */
#include "postgres.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port.h"
#include "state/secret_path.h"

static bool
is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() || st->st_uid == 0;
}

static const char *
directory_problem(const char *directory)
{
	struct stat st;

	if (lstat(directory, &st) != 0)
		return "its directory cannot be read";
	if (!is_ours(&st))
		return "others may write its directory";
	/* What a link leads to is checked on its own. */
	if (S_ISLNK(st.st_mode))
		return NULL;
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (st.st_mode & S_ISVTX) == 0)
		return "others may write its directory";
	return NULL;
}

/* The directory and all above it. */
static const char *
ancestors_problem(const char *directory)
{
	char		path[MAXPGPATH];
	const char *problem;

	strlcpy(path, directory, sizeof(path));
	while ((problem = directory_problem(path[0] ? path : "/")) == NULL && path[0] != '\0' && strcmp(path, "/") != 0)
		get_parent_directory(path);
	return problem;
}

const char *
SaasSecretPathProblem(const char *path)
{
	char		directory[MAXPGPATH];
	char		resolved[PATH_MAX];
	const char *problem;

	strlcpy(directory, path, sizeof(directory));
	get_parent_directory(directory);
	problem = ancestors_problem(directory);
	if (problem != NULL)
		return problem;
	if (realpath(directory[0] ? directory : "/", resolved) == NULL)
		return "its directory cannot be read";
	return ancestors_problem(resolved);
}
