/* pages.h - memory between two guard pages, on POSIX and on Windows. */
#ifndef PAGES_H
#define PAGES_H

#include <stddef.h>

/* *size bytes, rounded down to whole pages, with an inaccessible page on either side; NULL if the system refuses. */
unsigned char *pages_between_guards(size_t *size);
void pages_protect(unsigned char *start, size_t size, int writable);
/* Ends the program if it still runs after so many seconds (POSIX only). */
void pages_watchdog(unsigned seconds);

#endif
