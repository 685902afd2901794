/*
 * partition.h
 *	  The weekly partitions of saas.reading.
 */
#ifndef SAAS_PARTITION_H
#define SAAS_PARTITION_H

#include "postgres.h"

#include "datatype/timestamp.h"

/*
 * Makes the partition that holds the time, and the next one a day before it is
 * needed.  Call with SPI connected as saas_poller.
 */
extern void SaasPartitionEnsure(TimestampTz at);

/* Registers the forgetting of partitions that an aborted transaction made. */
extern void SaasPartitionInit(void);

#endif							/* SAAS_PARTITION_H */
