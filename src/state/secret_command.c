/*
 * secret_command.c
 *	  Running a command that prints a secret.
 */
#include "postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "pure/command_line.h"
#include "pure/crypto.h"
#include "server/raise.h"
#include "state/secret_command.h"
#include "state/secret_path.h"
#include "storage/ipc.h"

/* The command while it runs. */
typedef struct Run
{
	pid_t		group;			/* of the command and its children */
	pid_t		pid;			/* 0 once it has ended */
	int			out;			/* read ends, -1 once they ended */
	int			err;
	char	   *text;
	Size		length;
	Size		err_length;
} Run;

static void
refuse(const char *reason, const char *detail, const char *hint)
{
	SaasRaise("F0000", psprintf("cannot use the master key command: %s", reason), detail,
			  hint ? hint : "Check saas.master_key_command.");
}

static void
check_program(const char *path)
{
	const char *problem = SaasSecretPathProblem(path);
	struct stat st;

	if (stat(path, &st) != 0)
		refuse(errno == ENOENT ? "it does not exist" : "it cannot be read", NULL, NULL);
	if (problem != NULL)
		refuse(problem, NULL,
			   "Every directory above it must belong to the server's user or root and be writable by nobody else.");
	if (!S_ISREG(st.st_mode) || access(path, X_OK) != 0)
		refuse("it is not an executable file", NULL, NULL);
	if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		refuse("others may change it", NULL,
			   "It must belong to the server's user or root and be writable by nobody else.");
}

/* Sockets and files of the session are not the command's. */
static void
close_all_but_standard(void)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0)
		return;
#endif
	for (int fd = 3; fd < sysconf(_SC_OPEN_MAX); fd++)
		close(fd);
}

/* After fork only what is safe in a signal handler may be called. */
static void
become_command(char *const *words, int out, int err)
{
	int			null = open("/dev/null", O_RDONLY);
	sigset_t	none;

	if (null < 0 || setpgid(0, 0) != 0 ||
		dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
		_exit(126);
	close_all_but_standard();
	/* What is ignored stays ignored in the new program, what is caught does not. */
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(words[0], words);
	_exit(127);
}

static void
close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
start(Run *run, char *const *words)
{
	sigset_t	all;
	sigset_t	before;
	int			out[2];
	int			err[2];

	if (pipe(out) != 0)
		elog(ERROR, "could not make a pipe: %m");
	run->out = out[0];
	if (pipe(err) != 0)
	{
		close(out[1]);
		elog(ERROR, "could not make a pipe: %m");
	}
	run->err = err[0];
	/* A handler of ours must not run in the child. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	run->pid = fork();
	if (run->pid == 0)
		become_command(words, out[1], err[1]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(out[1]);
	close(err[1]);
	if (run->pid < 0)
		elog(ERROR, "could not fork: %m");
	/* The child does the same: whoever comes first. */
	(void) setpgid(run->pid, run->pid);
	run->group = run->pid;
}

/* Reads what is there; false when standard output is more than fits. */
static bool
read_ends(Run *run, struct pollfd *ends)
{
	char		discarded[1024];
	ssize_t		length;

	if (ends[0].revents != 0)
	{
		length = read(run->out, run->text + run->length, SAAS_SECRET_FILE_MAX - run->length);
		if (length > 0)
			run->length += length;
		else if (length == 0 || errno != EINTR)
			close_end(&run->out);
		if (run->length == SAAS_SECRET_FILE_MAX)
			return false;
	}
	if (ends[1].revents != 0)
	{
		length = read(run->err, discarded, sizeof(discarded));
		SaasWipe(discarded, sizeof(discarded));
		if (length > 0)
			run->err_length += length;
		else if (length == 0 || errno != EINTR)
			close_end(&run->err);
	}
	return true;
}

/* Whether the command has ended; status is its own then. */
static bool
has_ended(Run *run, int *status)
{
	if (waitpid(run->pid, status, WNOHANG) != run->pid)
		return false;
	run->pid = 0;
	return true;
}

static void
check_status(int status, Size err_length)
{
	char	   *detail;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	detail = WIFEXITED(status) ? psprintf("It exited with status %d", WEXITSTATUS(status)) :
		psprintf("Signal %d ended it", WTERMSIG(status));
	refuse("it failed",
		   psprintf("%s and wrote %zu bytes to its standard error, which are not shown because a key may be among them.",
					detail, err_length),
		   "Run the command as the server's user.");
}

static long
elapsed_ms(instr_time begun)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, begun);
	return (long) INSTR_TIME_GET_MILLISEC(now);
}

/*
 * Reads until both pipes and the process have ended: a child that it left in
 * the background holds the pipes and counts as the command.
 */
static int
finish(Run *run, int timeout_ms)
{
	instr_time	begun;
	int			status;
	bool		ended = false;

	INSTR_TIME_SET_CURRENT(begun);
	while (!ended || run->out >= 0 || run->err >= 0)
	{
		struct pollfd ends[2] = {{run->out, POLLIN, 0}, {run->err, POLLIN, 0}};
		bool		reads = run->out >= 0 || run->err >= 0;

		CHECK_FOR_INTERRUPTS();
		if (elapsed_ms(begun) >= timeout_ms)
			refuse(psprintf("it did not end within %d ms", timeout_ms), NULL,
				   "Make it faster or raise saas.master_key_command_timeout.");
		/* The end of a process wakes nobody here: look for it often once it is near. */
		if (poll(ends, lengthof(ends), reads ? 100 : 1) > 0 && !read_ends(run, ends))
			refuse(psprintf("it printed more than %d bytes", SAAS_SECRET_FILE_MAX - 1), NULL,
				   "Keep only keys that are still in use.");
		ended = ended || has_ended(run, &status);
	}
	return status;
}

/* After an error, and when the session is ended. */
static void
stop(int code, Datum argument)
{
	Run		   *run = (Run *) DatumGetPointer(argument);

	(void) code;
	/* An open pipe means that a process of the group lives: its number is not another's. */
	if (run->group > 0 && (run->pid > 0 || run->out >= 0 || run->err >= 0))
		(void) kill(-run->group, SIGKILL);
	close_end(&run->out);
	close_end(&run->err);
	if (run->pid > 0)
	{
		(void) kill(run->pid, SIGKILL);
		while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
			;
		run->pid = 0;
	}
	SaasWipe(run->text, SAAS_SECRET_FILE_MAX);
}

Size
SaasSecretCommandRun(const char *command, int timeout_ms, char text[SAAS_SECRET_FILE_MAX])
{
	Run			run = {.out = -1,.err = -1,.text = text};
	SaasCommandLine line;
	int			status;

	if (!SaasCommandLineSplit(command, &line))
		refuse("it is not an absolute path with arguments", NULL,
			   "Separate words by blanks and put a word that holds some into double quotes; no shell reads them.");
	check_program(line.words[0]);
	PG_ENSURE_ERROR_CLEANUP(stop, PointerGetDatum(&run));
	{
		start(&run, line.words);
		status = finish(&run, timeout_ms);
		check_status(status, run.err_length);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop, PointerGetDatum(&run));
	return run.length;
}
