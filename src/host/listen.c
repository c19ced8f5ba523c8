// listen.c: does a process, or one below it, listen for TCP where other machines could reach it?
// Linux says it in /proc (proc(5)); elsewhere it is not known.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"
#include "host/live_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- one line of /proc/net/tcp, tcp6: pure ----

// Words of 32 bits, each as the machine's own number in hex: bytes in network order come out.
static bool unhex_words(struct bytes hex, uint8_t *ret, size_t words)
{
    if (hex.n != words * 8)
        return false;
    for (size_t w = 0; w < words; w++) {
        char text[9] = {0};
        char *end;
        memcpy(text, hex.p + w * 8, 8);
        uint32_t value = (uint32_t)strtoul(text, &end, 16);
        if (*end)
            return false;
        memcpy(ret + w * 4, &value, 4);
    }
    return true;
}

static bool is_loopback(const uint8_t *a, size_t n)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t one[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    if (n == 4)
        return a[0] == 127;
    return memcmp(a, one, 16) == 0 || (memcmp(a, mapped, 12) == 0 && a[12] == 127);
}

static void put_address(const uint8_t *a, size_t n, unsigned port, char *ret)
{
    int at = n == 4 ? snprintf(ret, HOST_ADDRESS_MAX, "%u.%u.%u.%u", a[0], a[1], a[2], a[3])
                    : snprintf(ret, HOST_ADDRESS_MAX, "[");
    static const uint8_t any[16];
    if (n == 16 && memcmp(a, any, 16) == 0)
        at += snprintf(ret + at, HOST_ADDRESS_MAX - (size_t)at, "::");
    for (size_t i = 0; n == 16 && memcmp(a, any, 16) != 0 && i < 16; i += 2)
        at += snprintf(ret + at, HOST_ADDRESS_MAX - (size_t)at, "%s%x", i ? ":" : "",
                       (unsigned)a[i] << 8 | a[i + 1]);
    (void)snprintf(ret + at, HOST_ADDRESS_MAX - (size_t)at, "%s:%u", n == 16 ? "]" : "", port);
}

int host_listen_line(struct bytes line, uint64_t *ret_inode, char ret[HOST_ADDRESS_MAX])
{
    struct bytes field[10] = {{NULL, 0}}, rest = line;
    size_t n = 0;
    uint8_t a[16];
    while (rest.n && n < 10) {
        struct bytes word = bytes_cut(&rest, ' ');
        if (word.n)
            field[n++] = word;
    }
    struct bytes port = field[1], host = bytes_cut(&port, ':');
    size_t words = host.n / 8;
    if (n < 10 || !bytes_is(field[3], "0A") || (words != 1 && words != 4) || port.n != 4 ||
        !unhex_words(host, a, words) || !bytes_u64(field[9], ret_inode))
        return E_INVALID;
    if (is_loopback(a, words * 4))
        return 0;
    char text[5] = {0};
    memcpy(text, port.p, 4);
    put_address(a, words * 4, (unsigned)strtoul(text, NULL, 16), ret);
    return 1;
}

#ifdef __linux__

#define OPEN_MAX 64      // listeners of a machine that are no loopback; more are not looked at
#define TREE_MAX 256     // processes of one engine

struct open_one {
    uint64_t inode;
    char address[HOST_ADDRESS_MAX];
};
struct open_list {
    size_t n;
    struct open_one one[OPEN_MAX];
};

// Files of /proc say no size: read to the end.
static bool slurp(const char *path, struct buf *b)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *at;
    ssize_t got = -1;
    buf_clear(b);
    while (fd >= 0 && (at = buf_room(b, 65536)) != NULL && (got = read(fd, at, 65536)) > 0)
        b->n += (size_t)got;
    if (fd >= 0)
        (void)close(fd);
    return got == 0;
}

// Whole lines of the text; what is left begins one. false: no listeners come any more.
static bool take_lines(struct open_list *ret, struct bytes *rest, bool *first)
{
    while (bytes_chr(*rest, '\n') >= 0 && ret->n < OPEN_MAX) {
        struct open_one *one = &ret->one[ret->n];
        int open = host_listen_line(bytes_cut(rest, '\n'), &one->inode, one->address);
        if (open < 0 && !*first)
            return false;
        *first = false; // the table's heading
        ret->n += open > 0;
    }
    return ret->n < OPEN_MAX;
}

// The kernel writes listeners first, and only what is asked for: a machine with ten thousand
// connections does not make all their lines here.
static void read_table(const char *path, struct open_list *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct buf text;
    bool first = true, more = fd >= 0;
    buf_init(&text, 65536);
    while (more) {
        char *at = buf_room(&text, 4096);
        ssize_t got = at ? read(fd, at, 4096) : 0;
        text.n += got > 0 ? (size_t)got : 0;
        struct bytes rest = buf_bytes(&text);
        more = take_lines(ret, &rest, &first) && got > 0;
        buf_drop(&text, text.n - rest.n);
    }
    if (fd >= 0)
        (void)close(fd);
    buf_fini(&text);
}

// Of the network namespace that the process is in.
static void find_open(int64_t pid, struct open_list *ret)
{
    static const char *const tables[] = {"tcp", "tcp6"};
    char path[64];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "/proc/%lld/net/%s", (long long)pid, tables[i]);
        read_table(path, ret);
    }
}

static const char *open_of(const struct open_list *list, const char *link)
{
    unsigned long long inode;
    if (sscanf(link, "socket:[%llu]", &inode) != 1)
        return NULL;
    for (size_t i = 0; i < list->n; i++)
        if (list->one[i].inode == inode)
            return list->one[i].address;
    return NULL;
}

static const char *has_open(int64_t pid, const struct open_list *list)
{
    char path[320], link[64];
    const char *found = NULL;
    struct dirent *it;
    (void)snprintf(path, sizeof path, "/proc/%lld/fd", (long long)pid);
    DIR *dir = opendir(path);
    while (dir && !found && (it = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof path, "/proc/%lld/fd/%s", (long long)pid, it->d_name);
        ssize_t n = readlink(path, link, sizeof link - 1);
        if (n <= 0)
            continue;
        link[n] = 0;
        found = open_of(list, link);
    }
    if (dir)
        (void)closedir(dir);
    return found;
}

// Children of each of its threads, behind those that are in the list.
static size_t add_children(int64_t pid, int64_t *tree, size_t n, struct buf *text)
{
    char path[320];
    struct dirent *it;
    (void)snprintf(path, sizeof path, "/proc/%lld/task", (long long)pid);
    DIR *dir = opendir(path);
    while (dir && (it = readdir(dir)) != NULL) {
        if (it->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%lld/task/%s/children", (long long)pid,
                       it->d_name);
        struct bytes rest = slurp(path, text) ? buf_bytes(text) : BYTES_NONE;
        while (rest.n && n < TREE_MAX) {
            uint64_t child;
            if (bytes_u64(bytes_trim(bytes_cut(&rest, ' ')), &child))
                tree[n++] = (int64_t)child;
        }
    }
    if (dir)
        (void)closedir(dir);
    return n;
}

bool host_listens_openly(int64_t pid, char ret_address[HOST_ADDRESS_MAX])
{
    struct open_list list = {.n = 0};
    int64_t tree[TREE_MAX] = {pid};
    const char *found = NULL;
    struct buf text;
    if (pid <= 0)
        return false;
    find_open(pid, &list);
    if (!list.n) // on most machines there is some, none of them the engine's
        return false;
    buf_init(&text, 65536 * 2);
    for (size_t i = 0, n = 1; i < n && !found; i++) {
        found = has_open(tree[i], &list);
        n = add_children(tree[i], tree, n, &text);
    }
    buf_fini(&text);
    if (found)
        memcpy(ret_address, found, strlen(found) + 1);
    return found != NULL;
}

#else

bool host_listens_openly(int64_t pid, char ret_address[HOST_ADDRESS_MAX])
{
    (void)pid, (void)ret_address;
    return false;
}

#endif
