// cli_bus_test.c: the commands of the bus from argv to output and exit code.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_test_rig.h"

#define TYPE "application/json"
#define EVENT(n, more)                                                                             \
    "event: message\ndata: {\"specversion\":\"1.0\",\"id\":\"" n "\",\"source\":\"/node/a\","      \
    "\"type\":\"plexus.message\",\"time\":\"2026-01-01T12:00:00.123Z\"," more "}\n\n"
#define STREAM                                                                                     \
    "event: ready\ndata: {}\n\n:\n\n" EVENT(                                                       \
        "1", "\"datacontenttype\":\"application/json\",\"channel\":\"dev.organs.vision.detect\","  \
             "\"label\":\"internal\",\"data\":{\"cat\":0.9}")                                      \
        EVENT("2",                                                                                 \
              "\"datacontenttype\":\"text/plain\",\"channel\":\"dev.cognitive.nyx.heartbeat\","    \
              "\"tries\":\"2\",\"data\":\"still\\u001b here\"")                                    \
            EVENT("3", "\"channel\":\"dev.nervous.cells.math.wave\",\"data_base64\":\"AAEC\"")

static const struct answer answers[] = {
    {"GET", "/api/bus", 200, TYPE,
     "{\"engine\":\"nats\",\"environment\":\"dev\",\"status\":\"lost\",\"server\":\"nats://h:4222 "
     "2.9.10\",\"subscriptions\":2,\"requests\":0,\"queue_bytes\":0,\"totals\":{\"published\":52,"
     "\"stored\":7,\"duplicates\":1,\"delivered\":90,\"redelivered\":3,\"dead\":1,\"refused\":2,"
     "\"dropped\":0,\"full\":0,\"lost\":4},\"store\":{\"messages\":7,\"bytes\":4096}}",
     NULL},
    {"POST", "/api/bus/publish", 200, TYPE,
     "{\"stored\":true,\"sequence\":\"17\",\"duplicate\":true}",
     "\"id\":\"i1\",\"type\":\"t\",\"stored\":true}"},
    {"POST", "/api/bus/request", 200, TYPE,
     "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/a\",\"type\":\"t\",\"data\":[1,2]}",
     "{\"subject\":\"dev.a.b.c\",\"data\":{\"q\":1},\"label\":\"public\",\"timeout\":\"2s\"}"},
    {"GET", "/api/bus/subscribe", 200, "text/event-stream", STREAM, "pattern=dev."},
    {NULL, NULL, 0, NULL, NULL, NULL},
};

static const struct test_case cases[] = {
    {{"bus"}, 0, "bus.txt", NULL, NULL},
    {{"bus", "--json"}, 0, NULL, "{\"engine\":\"nats\"", NULL},
    {{"bus", "pub", "dev.a.b.c", "x", "--durable", "--id", "i1", "-t", "t"},
     0,
     NULL,
     "stored as 17, before: a duplicate\n",
     NULL},
    {{"bus", "pub", "dev.a.b.c", "x"}, 65, NULL, NULL, "i1"}, // the server wanted that
    {{"bus", "pub"}, 64, NULL, NULL, "SUBJECT is missing"},
    {{"bus", "req", "dev.a.b.c", "{\"q\":1}", "-l", "public", "--timeout", "2s"},
     0,
     NULL,
     "[1,2]\n",
     NULL},
    {{"bus", "sub", "dev.>", "-n", "2"}, 0, "bus-sub.txt", NULL, NULL},
    {{"bus", "sub", "dev.>", "-n", "1", "--json"}, 0, NULL, "{\"specversion\":\"1.0\"", NULL},
    {{"bus", "sub", "dev.>", "-n", "0"}, 64, NULL, NULL, "--count is a whole number from 1"},
    {{"bus", "tail", "-n", "3"}, 0, "bus-tail.txt", NULL, NULL},
    {{"bus", "tail", "dev.organs.>", "--from", "10m", "-n", "1"}, 0, NULL, "vision", NULL},
    {{"help", "bus"}, 0, "help-bus.txt", NULL, NULL},
};

static void test_commands(void **state)
{
    (void)state;
    check_cases(cases, sizeof cases / sizeof *cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
    };
    the_answers = answers;
    return cmocka_run_group_tests_name("cli bus", tests, set_up, tear_down);
}
