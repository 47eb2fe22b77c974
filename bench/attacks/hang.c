/* A getaddrinfo for LD_PRELOAD that never returns for one name and resolves another one at once. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    resolver *next = (resolver *)dlsym(RTLD_NEXT, "getaddrinfo");
    while (node && !strcmp(node, "hangs.test"))
        sleep(60);
    if (node && !strcmp(node, "known.test"))
        node = "127.0.0.1";
    return next(node, service, hints, found);
}
