/* pages.c - see pages.h. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "pages.h"

#if defined(_WIN32)
#include <windows.h>

unsigned char *pages_between_guards(size_t *size) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    const size_t page = system.dwPageSize;
    *size = *size / page * page;
    unsigned char *all = VirtualAlloc(NULL, *size + 2 * page, MEM_RESERVE, PAGE_NOACCESS);
    return all != NULL && VirtualAlloc(all + page, *size, MEM_COMMIT, PAGE_READWRITE) != NULL ? all + page : NULL;
}

void pages_protect(unsigned char *start, size_t size, int writable) {
    DWORD before;
    VirtualProtect(start, size, writable ? PAGE_READWRITE : PAGE_READONLY, &before);
}

void pages_watchdog(unsigned seconds) { (void)seconds; }

#else
#include <sys/mman.h>
#include <unistd.h>

unsigned char *pages_between_guards(size_t *size) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *size = *size / page * page;
    unsigned char *all = mmap(NULL, *size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return all != MAP_FAILED && mprotect(all + page, *size, PROT_READ | PROT_WRITE) == 0 ? all + page : NULL;
}

void pages_protect(unsigned char *start, size_t size, int writable) {
    mprotect(start, size, writable ? PROT_READ | PROT_WRITE : PROT_READ);
}

void pages_watchdog(unsigned seconds) { alarm(seconds); }

#endif
