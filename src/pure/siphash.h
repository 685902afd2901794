/*
 * siphash.h
 *	  SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012): a keyed hash
 *	  for tables.  Who does not know the key cannot choose what collides.
 */
#ifndef SAAS_SIPHASH_H
#define SAAS_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

extern void SaasSipHash128(const uint64_t key[2], const void *bytes, size_t length, uint64_t hash[2]);

#endif							/* SAAS_SIPHASH_H */
