// suite.c: runs every test program and script, each in a process group of its own with a deadline,
// SUITE_JOBS at once (2), and tells of them as one cmocka group. Skips (exit 77, or a test that
// cmocka skipped inside) are allowed only when tests/SKIPS lists the program. What failed beside
// others is run once more by itself, at most RETRIES_MAX programs: the log of the first failure is
// shown all the same. SUITE_UNDER="COMMAND WORD..." runs each program under that command.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PROGRAMS_MAX 512
#define TIMEOUT_S 180
#define TAIL_BYTES 6000
#define RETRIES_MAX 4

static struct program {
    char path[400], name[200], log[400];
    int seconds;  // deadline
    bool alone;   // "alone" in its first lines: nothing runs beside it
    pid_t pid;    // while it runs
    double began; // monotonic, s
    double took;
    int status;   // exit status, 128 + signal, -1: deadline
} programs[PROGRAMS_MAX];
static struct CMUnitTest tests[PROGRAMS_MAX];
static size_t count;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Comments among the first lines of a script: "timeout: N" is its deadline in seconds, "alone:"
// (and why) keeps others away while it runs.
static void read_head(struct program *p)
{
    FILE *f = fopen(p->path, "r");
    char line[300];
    p->seconds = TIMEOUT_S;
    for (int i = 0; f && i < 20 && fgets(line, sizeof(line), f); i++) {
        bool comment = line[0] == '#' || line[0] == '/';
        const char *at = comment ? strstr(line, "timeout: ") : NULL;
        if (at)
            p->seconds = atoi(at + 9);
        p->alone |= comment && strstr(line, "alone: ");
    }
    if (f)
        (void)fclose(f);
    p->seconds *= getenv("SUITE_UNDER") ? 10 : 1;
}

static void show_tail(const char *log)
{
    FILE *f = fopen(log, "r");
    static char text[TAIL_BYTES + 1];
    if (!f)
        return;
    (void)fseek(f, 0, SEEK_END);
    long size = ftell(f);
    (void)fseek(f, size > TAIL_BYTES ? size - TAIL_BYTES : 0, SEEK_SET);
    size_t n = fread(text, 1, TAIL_BYTES, f);
    text[n] = 0;
    (void)fclose(f);
    (void)fprintf(stderr, "---- end of %s ----\n%s\n----\n", log, text);
}

static bool skip_allowed(const char *name)
{
    FILE *f = fopen("tests/SKIPS", "r");
    char line[400];
    bool found = false;
    while (f && !found && fgets(line, sizeof(line), f)) {
        size_t n = strcspn(line, " \t\n");
        found = line[0] != '#' && n == strlen(name) && strncmp(line, name, n) == 0;
    }
    if (f)
        (void)fclose(f);
    return found;
}

// Did a test inside the program skip? cmocka ends such a program with 0.
static bool skipped_inside(const char *log)
{
    FILE *f = fopen(log, "r");
    char line[400];
    bool found = false;
    while (f && !found && fgets(line, sizeof(line), f))
        found = strncmp(line, "[  SKIPPED ] ", 13) == 0;
    if (f)
        (void)fclose(f);
    return found;
}

// Runs the program under the command of SUITE_UNDER, if there is one.
static void exec_under(const char *path)
{
    char words[1000], *argv[32];
    const char *under = getenv("SUITE_UNDER");
    size_t n = 0;
    if (!under || !*under)
        return;
    (void)snprintf(words, sizeof(words), "%s", under);
    for (char *w = strtok(words, " "); w && n < 30; w = strtok(NULL, " "))
        argv[n++] = w;
    argv[n++] = (char *)(uintptr_t)path;
    argv[n] = NULL;
    (void)execvp(argv[0], argv);
    _exit(127);
}

static pid_t start(const struct program *p)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    (void)setpgid(0, 0);
    int log = open(p->log, O_WRONLY | O_CREAT | O_TRUNC, 0644), null = open("/dev/null", O_RDONLY);
    (void)dup2(null, 0);
    (void)dup2(log, 1);
    (void)dup2(log, 2);
    const char *dot = strrchr(p->path, '.');
    if (dot && strcmp(dot, ".py") == 0)
        (void)execlp("python3", "python3", p->path, (char *)NULL);
    else if (dot && strcmp(dot, ".sh") == 0)
        (void)execlp("sh", "sh", p->path, (char *)NULL);
    else
        exec_under(p->path);
    (void)execl(p->path, p->path, (char *)NULL);
    _exit(127);
}

static void began(struct program *p)
{
    p->began = now_s();
    p->pid = start(p);
    p->status = 127;
}

// Is it over? Then status and took are set, and what it left behind is gone.
static bool over(struct program *p)
{
    int status;
    pid_t got = p->pid > 0 ? waitpid(p->pid, &status, WNOHANG) : p->pid;
    bool late = got == 0 && now_s() > p->began + p->seconds;
    if (got == 0 && !late)
        return false;
    if (p->pid > 0)
        (void)kill(-p->pid, SIGKILL);
    if (late)
        (void)waitpid(p->pid, &status, 0);
    if (late)
        p->status = -1;
    else if (got > 0)
        p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    p->took = now_s() - p->began;
    p->pid = 0;
    (void)fprintf(stderr, "             %6.1f s  %s%s\n", p->took, p->name,
                  p->status == 0 || p->status == 77 ? "" : "   FAILED");
    return true;
}

static bool failed(const struct program *p)
{
    return p->status != 0 && p->status != 77;
}

// All of one kind, some at once. Those that ask for it run alone, after the others.
static void run_all(bool alone, size_t jobs)
{
    struct program *at[16] = {NULL};
    size_t next = 0, running = 0;
    jobs = alone || jobs < 1 ? 1 : jobs > 16 ? 16 : jobs;
    while (running > 0 || next < count) {
        for (size_t k = 0; k < jobs; k++) {
            if (at[k] && over(at[k])) {
                at[k] = NULL;
                running--;
            }
            while (!at[k] && next < count) {
                struct program *p = &programs[next++];
                if (p->alone != alone)
                    continue;
                began(p);
                at[k] = p;
                running++;
            }
        }
        (void)usleep(5000);
    }
}

// The machine may have been at fault: once more, by itself.
static void run_failed(void)
{
    int left = RETRIES_MAX;
    for (size_t i = 0; i < count && left > 0; i++) {
        struct program *p = &programs[i];
        if (!failed(p))
            continue;
        show_tail(p->log);
        (void)fprintf(stderr, "%s failed with %d: once more, by itself\n", p->name, p->status);
        began(p);
        while (!over(p))
            (void)usleep(5000);
        if (!failed(p))
            (void)fprintf(stderr, "UNSTABLE: %s passed the second time\n", p->name);
        left--;
    }
}

static void tell(void **state)
{
    const struct program *p = *state;
    if (p->status == 77 || (p->status == 0 && skipped_inside(p->log))) {
        show_tail(p->log);
        if (!skip_allowed(p->name))
            fail_msg("%s was skipped, and tests/SKIPS does not allow that", p->name);
        if (p->status == 77)
            skip();
        return;
    }
    if (p->status != 0) {
        show_tail(p->log);
        if (p->status < 0)
            fail_msg("%s did not end within %d s", p->name, p->seconds);
        fail_msg("%s ended with %d", p->name, p->status);
    }
}

static void add(const char *path, int words, char **word)
{
    struct program *p = &programs[count];
    char flat[200];
    bool wanted = words == 0;
    for (int i = 0; i < words; i++)
        wanted |= strstr(path, word[i]) != NULL;
    if (!wanted || count == PROGRAMS_MAX)
        return;
    const char *name = strncmp(path, "build/", 6) == 0 ? strstr(path, "/test/") + 6 : path;
    (void)snprintf(p->path, sizeof(p->path), "%s", path);
    (void)snprintf(p->name, sizeof(p->name), "%s", name);
    (void)snprintf(flat, sizeof(flat), "%s", name);
    for (char *c = flat; *c; c++)
        if (*c == '/')
            *c = '-';
    (void)snprintf(p->log, sizeof(p->log), "build/test-logs/%s.log", flat);
    read_head(p);
    tests[count] = (struct CMUnitTest){p->name, tell, NULL, NULL, p};
    count++;
}

// usage: suite PATTERN... -- [WORD...]   programs that match a glob pattern and hold a word
int main(int argc, char **argv)
{
    int split = 1;
    while (split < argc && strcmp(argv[split], "--") != 0)
        split++;
    (void)mkdir("build/test-logs", 0755);
    for (int i = 1; i < split; i++) {
        glob_t found;
        if (glob(argv[i], 0, NULL, &found) != 0)
            continue;
        for (size_t k = 0; k < found.gl_pathc; k++)
            if (strstr(found.gl_pathv[k], ".d") == NULL ||
                strstr(found.gl_pathv[k], "_test") != NULL)
                add(found.gl_pathv[k], split < argc ? argc - split - 1 : 0, argv + split + 1);
        globfree(&found);
    }
    if (count == 0) {
        (void)fprintf(stderr, "suite: no test matches\n");
        return 1;
    }
    const char *jobs = getenv("SUITE_JOBS");
    run_all(false, jobs ? (size_t)strtoul(jobs, NULL, 10) : 2);
    run_all(true, 1);
    run_failed();
    return _cmocka_run_group_tests("plexus", tests, count, NULL, NULL) == 0 ? 0 : 1;
}
