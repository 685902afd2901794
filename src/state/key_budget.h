/*
 * key_budget.h
 *	  How many values a data key may seal.
 *
 * AES-GCM with random 96-bit nonces is good for 2^32 encryptions under one key
 * (NIST SP 800-38D, section 8.3).  The worker makes the next version at half
 * of that; sealing refuses at 15/16.
 *
 * Counting must be no hot row and must outlast rollbacks.  So nobody counts
 * one by one: each time a key is taken to seal with, chance decides with
 * probability 1 / SAAS_KEY_BLOCK whether a whole block is noted in the
 * journal, whence the worker adds it to the key's row.  Nothing is kept per
 * process, so nothing is forgotten when a session ends or fails, and
 * short-lived sessions count like long ones.  The sum is unbiased; at 2^31
 * its standard error is sqrt(2^31 * 8192), 4.2 million, 0.2 %.  A
 * tenant that seals a million values a second notes 120 blocks a second, which
 * leaves the journal to others.
 *
 * What can be lost are notes that nobody has written yet: three seconds' worth
 * in a crash, more when the journal overflows.  A server that sealed a million
 * values a second for one key would need 700 crashes to lose the half between
 * the worker's threshold and the bound; 2^28 are left above the refusal for
 * what is noted and not written.  Without any worker nothing is counted at
 * all: saas.poller_status() shows that.
 */
#ifndef SAAS_KEY_BUDGET_H
#define SAAS_KEY_BUDGET_H

#define SAAS_KEY_BLOCK			8192
#define SAAS_KEY_BUDGET			(INT64CONST(1) << 32)
#define SAAS_KEY_BUDGET_ROTATE	(SAAS_KEY_BUDGET / 2)
#define SAAS_KEY_BUDGET_REFUSE	(SAAS_KEY_BUDGET / 16 * 15)

#endif							/* SAAS_KEY_BUDGET_H */
