/*
 * master_key_file.c
 *	  The file that saas.master_key_file names.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/raise.h"
#include "state/master_key_file.h"
#include "state/settings.h"
#include "storage/fd.h"

#define MAX_FILE_SIZE	8192

static void
refuse(const char *reason, const char *hint)
{
	SaasRaise("F0000", psprintf("cannot use the master key file: %s", reason), NULL, hint);
}

/* Whoever may write the directory may replace the file. */
static void
check_directory(const char *path)
{
	char		directory[MAXPGPATH];
	struct stat st;

	strlcpy(directory, path, sizeof(directory));
	get_parent_directory(directory);
	if (stat(directory[0] ? directory : ".", &st) != 0)
		refuse("its directory cannot be read", "Check saas.master_key_file.");
	if ((st.st_uid != geteuid() && st.st_uid != 0) ||
		((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (st.st_mode & S_ISVTX) == 0))
		refuse("others may write its directory",
			   "The directory must belong to the server's user or root and be writable by nobody else.");
}

static void
check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		refuse("it is not a regular file", "Check saas.master_key_file.");
	if (st.st_uid != geteuid() && st.st_uid != 0)
		refuse("it belongs to another user", "Run chown with the server's user on the file.");
	if ((st.st_mode & (S_IRWXO | S_IWGRP | S_IXGRP)) != 0 ||
		((st.st_mode & S_IRGRP) != 0 && st.st_uid != 0))
		refuse("others may read it", "Run chmod 0600 on the file.");
	if (st.st_size > MAX_FILE_SIZE)
		refuse("it is larger than 8192 bytes", "Keep only keys that are still in use.");
}

void
SaasMasterKeyFileRead(SaasMasterKeys *keys)
{
	char		text[MAX_FILE_SIZE];
	SaasProblem problem = {0};
	ssize_t		length;
	bool		parsed;
	int			fd;

	if (saas_master_key_file == NULL || saas_master_key_file[0] == '\0')
		SaasRaise("55000", "no master key is configured", NULL,
				  "Set saas.master_key_file to a file that holds a line \"1:\" with 64 hex digits, made with openssl rand -hex 32, and reload.");
	if (!is_absolute_path(saas_master_key_file))
		refuse("its path is not absolute", "Set saas.master_key_file to an absolute path.");
	check_directory(saas_master_key_file);
	/* Opening a FIFO would wait for its writer. */
	fd = OpenTransientFile(saas_master_key_file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | PG_BINARY);
	if (fd < 0)
		refuse(errno == ELOOP ? "it is a symbolic link" :
			   errno == ENOENT ? "it does not exist" : "it cannot be opened",
			   "Check saas.master_key_file and the file's permissions.");
	check_file(fd);
	length = read(fd, text, sizeof(text));
	CloseTransientFile(fd);
	if (length < 0)
		refuse("it cannot be read", "Check saas.master_key_file.");
	parsed = SaasMasterKeysParse(text, (size_t) length, keys, &problem);
	SaasWipe(text, sizeof(text));
	if (!parsed)
	{
		SaasWipe(keys, sizeof(*keys));
		SaasRaiseProblem(&problem);
	}
}
