/*
 * secret_command.h
 *	  Running a command that prints a secret.
 */
#ifndef SAAS_SECRET_COMMAND_H
#define SAAS_SECRET_COMMAND_H

#include "postgres.h"

#include "state/secret_file.h"

/*
 * Runs the command (pure/command_line.h) without a shell, in a process group
 * of its own and with nothing open but its pipes, and returns the length of
 * what it printed; the caller wipes text.  Errors with F0000 when its file is
 * not executable or others may change it, when it fails, prints too much, or
 * takes longer than timeout_ms.  No error shows what it printed: the length of
 * its standard error is told, its text never.
 */
extern Size SaasSecretCommandRun(const char *command, int timeout_ms, char text[SAAS_SECRET_FILE_MAX]);

#endif							/* SAAS_SECRET_COMMAND_H */
