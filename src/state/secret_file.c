/*
 * secret_file.c
 *	  Reading a file that holds a secret, and refusing one that others may read.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/raise.h"
#include "state/secret_file.h"
#include "state/secret_path.h"
#include "storage/fd.h"

static void
refuse(const SaasSecretFile *file, const char *reason, const char *hint)
{
	SaasRaise("F0000", psprintf("cannot use %s: %s", file->what, reason), NULL,
			  hint ? hint : psprintf("Check %s.", file->setting));
}

/* Whoever may write a directory above it may replace the file. */
static void
check_directories(const SaasSecretFile *file)
{
	const char *problem = SaasSecretPathProblem(file->path);

	if (problem != NULL)
		refuse(file, problem,
			   "Every directory above it must belong to the server's user or root and be writable by nobody else.");
}

static void
check_file(const SaasSecretFile *file, int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		refuse(file, "it is not a regular file", NULL);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		refuse(file, "it belongs to another user", "Run chown with the server's user on the file.");
	if ((st.st_mode & (S_IRWXO | S_IWGRP | S_IXGRP)) != 0 ||
		((st.st_mode & S_IRGRP) != 0 && st.st_uid != 0))
		refuse(file, "others may read it", "Run chmod 0600 on the file.");
	if (st.st_size > SAAS_SECRET_FILE_MAX)
		refuse(file, "it is larger than 8192 bytes", file->too_large_hint);
}

Size
SaasSecretFileRead(const SaasSecretFile *file, char text[SAAS_SECRET_FILE_MAX])
{
	ssize_t		length;
	int			fd;

	if (!is_absolute_path(file->path))
		refuse(file, "its path is not absolute", psprintf("Set %s to an absolute path.", file->setting));
	check_directories(file);
	/* Opening a FIFO would wait for its writer. */
	fd = OpenTransientFile(file->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | PG_BINARY);
	if (fd < 0)
		refuse(file, errno == ELOOP ? "it is a symbolic link" :
			   errno == ENOENT ? "it does not exist" : "it cannot be opened",
			   psprintf("Check %s and the file's permissions.", file->setting));
	check_file(file, fd);
	length = read(fd, text, SAAS_SECRET_FILE_MAX);
	CloseTransientFile(fd);
	if (length < 0)
		refuse(file, "it cannot be read", NULL);
	return (Size) length;
}
