/* quota.c - the cores that a container's CPU quota leaves, from Linux's control groups, version 1 and 2.
 *
 * A group may use so many microseconds of all cores together in each period: quota / period cores. The groups are
 * nested, and each one's quota holds for all below it, so the least of them counts. /proc/self/cgroup tells which group
 * this process is in, /proc/self/mountinfo where the files of the groups are: a mount shows the tree from one group on,
 * which inside a container is often the container's own. Text files only, so standard C; elsewhere there are none. */
#include "../nnc.h"

#include <stdio.h>
#include <string.h>

enum {
    PATH = 4096
};

typedef struct hierarchy {
    int version;
    char root[PATH], mount[PATH]; /* the group from which on the mount shows the tree, and where */
} hierarchy;

/* A line without its newline, cut off after PATH - 1 characters. */
static char *next_line(char line[PATH], FILE *file) {
    if (fgets(line, PATH, file) == NULL) return NULL;
    char *end = strchr(line, '\n');
    if (end)
        *end = '\0';
    else
        for (int c = 0; c != '\n' && c != EOF;) c = fgetc(file);
    return line;
}

static FILE *open_below(const char *root, const char *path, const char *name) {
    char full[3 * PATH];
    const int length = snprintf(full, sizeof full, "%s%s%s", root, path, name);
    return length > 0 && (size_t)length < sizeof full ? fopen(full, "r") : NULL;
}

/* Is `word` one of the words of a list that commas separate? */
static int has_word(const char *list, const char *word) {
    const size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0')) return 1;
    return 0;
}

/* Spaces and the like are octal numbers in mountinfo: \040 */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from; to++) {
        const int is_octal = from[0] == '\\' && strspn(from + 1, "01234567") >= 3;
        *to = is_octal ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += is_octal ? 4 : 1;
    }
    *to = '\0';
}

/* A line of mountinfo, if it is a tree of groups with a quota for the CPU:
 * 36 35 98:0 /root /mount options optional fields - type source options */
static int parse_mount(char *line, hierarchy *found) {
    char type[16], options[PATH];
    const char *rest = strstr(line, " - ");
    if (rest == NULL || sscanf(line, "%*s %*s %*s %4095s %4095s", found->root, found->mount) != 2 ||
        sscanf(rest, " - %15s %*s %4095s", type, options) != 2)
        return 0;
    unescape(found->root);
    unescape(found->mount);
    found->version = strcmp(type, "cgroup2") == 0 ? 2 : strcmp(type, "cgroup") == 0 && has_word(options, "cpu") ? 1
                                                                                                                : 0;
    return found->version;
}

/* The group of this process, from lines such as 0::/a/b of version 2 and 4:cpu,cpuacct:/a/b of version 1. */
static int find_group(const char *root, int version, char group[PATH]) {
    char line[PATH];
    FILE *file = open_below(root, "", "/proc/self/cgroup");
    int is_found = 0;
    while (file && !is_found && next_line(line, file)) {
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL) continue;
        *path++ = '\0';
        is_found = version == 2 ? controllers[1] == '\0' : has_word(controllers + 1, "cpu");
        if (is_found) snprintf(group, PATH, "%s", path);
    }
    if (file) fclose(file);
    return is_found;
}

static int cores_of(long long quota, long long period) {
    const long long cores = quota > 0 && period > 0 ? (quota - 1) / period + 1 : 0;
    return cores < 1 << 20 ? (int)cores : 0;
}

static long long read_number(const char *root, const char *group, const char *name) {
    long long number = 0;
    FILE *file = open_below(root, group, name);
    if (file && fscanf(file, "%lld", &number) != 1) number = 0;
    if (file) fclose(file);
    return number;
}

/* The quota of one group in cores, rounded up; 0 for none. */
static int quota_of(const char *root, const char *group, int version) {
    if (version == 1)
        return cores_of(read_number(root, group, "/cpu.cfs_quota_us"), read_number(root, group, "/cpu.cfs_period_us"));
    long long quota = 0, period = 0;
    FILE *file = open_below(root, group, "/cpu.max"); /* "max 100000" or "150000 100000" */
    const int count = file ? fscanf(file, "%lld %lld", &quota, &period) : 0;
    if (file) fclose(file);
    return count == 2 ? cores_of(quota, period) : 0;
}

static int least(int a, int b) { return a == 0 || (b > 0 && b < a) ? b : a; }

/* The least quota from this process's group up to the one at which the mount begins. */
static int quota_of_tree(const char *root, const hierarchy *tree) {
    char group[PATH], path[2 * PATH];
    if (!find_group(root, tree->version, group)) return 0;
    const size_t above = strcmp(tree->root, "/") ? strlen(tree->root) : 0;
    const char *below = group + above;
    if (strncmp(group, tree->root, above) != 0 || (*below != '/' && *below != '\0') || strstr(below, "/.."))
        below = ""; /* not in the part that is mounted: only what holds for all of that is known */
    const size_t mount = strlen(tree->mount);
    snprintf(path, sizeof path, "%s%s", tree->mount, below);
    int cores = 0;
    for (size_t length = strlen(path); length >= mount; length--) {
        const int is_group = path[length] == '\0' || path[length] == '/';
        path[length] = '\0';
        if (is_group) cores = least(cores, quota_of(root, path, tree->version));
        if (length == 0) break;
    }
    return cores;
}

int nnc_quota_cores(const char *root) {
    char line[PATH];
    hierarchy tree;
    int cores = 0;
    FILE *file = open_below(root, "", "/proc/self/mountinfo");
    while (file && next_line(line, file))
        if (parse_mount(line, &tree)) cores = least(cores, quota_of_tree(root, &tree));
    if (file) fclose(file);
    return cores;
}
