/*
 * secret_pages.c
 *	  Memory for keys that this process keeps.
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "server/secret_pages.h"

/* Systems and limits differ: what is refused leaves plain memory. */
static void
shield(void *pages, Size size)
{
	(void) mlock(pages, size);
#ifdef MADV_DONTDUMP
	(void) madvise(pages, size, MADV_DONTDUMP);
#endif
#ifdef MADV_WIPEONFORK
	(void) madvise(pages, size, MADV_WIPEONFORK);
#endif
}

void *
SaasSecretPages(Size size)
{
	Size		page = (Size) sysconf(_SC_PAGESIZE);
	Size		rounded = (size + page - 1) / page * page;
	void	   *pages = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	shield(pages, rounded);
	return pages;
}
