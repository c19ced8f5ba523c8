// schemas_test.c: bodies that real clients send, and what is said about bodies that are wrong.
// SPDX-License-Identifier: Apache-2.0
#include "gate/param.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct bytes embed_gate_chat_completions(void);
struct bytes embed_gate_completions(void);
struct bytes embed_gate_embeddings(void);

enum { CHAT, COMPLETION, EMBEDDING, COUNT };

static struct json_doc *docs[COUNT];
static struct schema *schemas[COUNT];

static int setup(void **state)
{
    (void)state;
    const struct bytes texts[COUNT] = {embed_gate_chat_completions(), embed_gate_completions(),
                                       embed_gate_embeddings()};
    for (int i = 0; i < COUNT; i++) {
        struct err e = {0};
        if (json_parse(&docs[i], texts[i], JSON_UNIQUE, &e) != 0 ||
            schema_new(&schemas[i], &(struct schema_args){.doc = json_root(docs[i])}, &e) != 0) {
            printf("schema %d: %s\n", i, e.text);
            return -1;
        }
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        schema_free(schemas[i]);
        json_free(docs[i]);
    }
    return 0;
}

static int check(int endpoint, const char *body, struct schema_error *ret)
{
    struct json_doc *doc = NULL;
    struct err e = {0};
    if (json_parse(&doc, bytes_of(body), 0, &e) != 0)
        fail_msg("%s: %s", body, e.text);
    int rc = schema_check(schemas[endpoint], json_root(doc), ret);
    json_free(doc);
    return rc;
}

static const struct {
    int endpoint;
    const char *body;
} good[] = {
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":"
           "\"user\",\"content"
           "\":\"hi\"},{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"user\",\"content\":"
           "\"hi\"}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":[{\"type\":\"text\","
           "\"text\":\"x"
           "\"}]},{\"role\":\"user\",\"content\":\"hi\"}]}"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
     "\"what\"}"
     ",{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA==\",\"detail\":\"l"
     "ow\"}}]}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
           "\"image_ur"
           "l\":\"http://h/x.png\"}]}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_"
           "audio\",\"input_"
           "audio\":{\"data\":\"AA==\",\"format\":\"wav\"}}],\"name\":\"ann\"}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"file\","
           "\"file\":{\"file_"
           "id\":\"f\"}}]}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"video_url\","
           "\"video_ur"
           "l\":{\"url\":\"x\"}}]}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[]}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
           "\"assistant\",\"con"
           "tent\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{"
           "\"name\":\"f\",\"ar"
           "guments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"1\"}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
           "\"assistant\",\"too"
           "l_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"index\":0,\"function\":{\"name\":"
           "\"f\",\"argumen"
           "ts\":{\"a\":1}}}],\"refusal\":null,\"audio\":null,\"function_call\":null}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
           "\"assistant\",\"con"
           "tent\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
           "\"assistant\",\"con"
           "tent\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"role\":"
           "\"function\",\"na"
           "me\":\"f\",\"content\":null}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
           "\"assistant\",\"con"
           "tent\":\"a\",\"reasoning_content\":\"r\",\"prefix\":true}]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,"
           "\"stream_o"
           "ptions\":{\"include_usage\":true}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":"
           "false,\"stream_"
           "options\":null}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":null,"
           "\"temperat"
           "ure\":null,\"top_p\":null,\"n\":null,\"max_tokens\":null,\"stop\":null,\"seed\":null}"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":0}"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":2}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":"
           "0.7,\"top_"
           "p\":1}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":"
           "1,\"max_com"
           "pletion_tokens\":100000}"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":-1}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"n\":128,"
           "\"seed\":-1}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"seed\":"
           "1844674407370955"
           "1615}"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stop\":\"x\"}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stop\":[\"a\","
           "\"b\",\"c\",\"d\""
           ",\"e\"]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"presence_"
           "penalty\":-2,\""
           "frequency_penalty\":2.0}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logit_bias\":{"
           "\"50256\":-"
           "100,\"1\":0.5}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logit_bias\":["
           "[15043,1."
           "0],[\"Hello\",false]]}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logit_bias\":{"
           "\"5\":false"
           "}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logprobs\":"
           "true,\"top_lo"
           "gprobs\":20}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logprobs\":"
           "null,\"top_lo"
           "gprobs\":0}"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":"
     "\"funct"
     "ion\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\","
     "\"pro"
     "perties\":{}},\"strict\":true}}],\"tool_choice\":\"auto\",\"parallel_tool_calls\":false}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{"
           "\"type\":\"funct"
           "ion\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":{\"type\":\"function\","
           "\"function\":{\"nam"
           "e\":\"f\"}}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{"
           "\"type\":\"custo"
           "m\",\"custom\":{\"name\":\"c\"}}],\"tool_choice\":{\"type\":\"allowed_tools\","
           "\"allowed_tools\""
           ":{\"mode\":\"auto\",\"tools\":[]}}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[],"
           "\"tool_choice"
           "\":\"none\"}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":null,"
           "\"tool_choi"
           "ce\":null}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{"
           "\"type\":\"web_s"
           "earch\"}],\"tool_choice\":\"required\"}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"functions\":[{"
           "\"name\":\"f"
           "\",\"parameters\":null}],\"function_call\":\"auto\"}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"functions\":[{"
           "\"name\":\"f"
           "\"}],\"function_call\":{\"name\":\"f\"}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_"
           "format\":{\"typ"
           "e\":\"text\"}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_"
           "format\":{\"typ"
           "e\":\"json_object\",\"schema\":{\"type\":\"object\"}}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_"
           "format\":{\"typ"
           "e\":\"json_schema\",\"json_schema\":{\"name\":\"s\",\"schema\":{\"type\":\"object\"},"
           "\"strict\":t"
           "rue}}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_"
           "format\":{\"typ"
           "e\":\"json_schema\",\"schema\":{}}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_"
           "format\":null}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"user\":\"u\","
           "\"metadata\":{"
           "\"a\":\"b\"},\"store\":false,\"service_tier\":\"auto\",\"reasoning_effort\":\"high\","
           "\"verbosit"
           "y\":\"low\"}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"modalities\":["
           "\"text\",\"a"
           "udio\"],\"audio\":{\"voice\":\"alloy\",\"format\":\"wav\"}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"modalities\":"
           "null,\"audi"
           "o\":null,\"prediction\":{\"type\":\"content\",\"content\":\"x\"}}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"top_k\":40,"
           "\"min_p\":0.05"
           ",\"repeat_penalty\":1.1,\"mirostat\":2,\"grammar\":\"root ::= "
           "\\\"a\\\"\",\"cache_prompt\":tru"
           "e,\"id_slot\":-1,\"samplers\":[\"top_k\"]}"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"guided_json\":{},"
     "\"best_"
     "of\":2,\"ignore_eos\":true,\"chat_template_kwargs\":{\"enable_thinking\":false},\"add_ge"
     "neration_prompt\":true}"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"a field that "
           "nobody kn"
           "ows\":[null,{\"x\":1}]}"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"x\"}"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"\"}"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"]}"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":[1,2,3]}"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":[[1,2],[3]]}"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":[1,\"a\",2]}"},
    {COMPLETION,
     "{\"model\":\"m\",\"prompt\":{\"prompt_string\":\"x\",\"multimodal_data\":[\"AA==\"]}}"},
    {COMPLETION, "{\"model\":\"m\",\"prompt_embeds\":\"AA==\"}"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"x\",\"best_of\":2,\"n\":2,\"echo\":true,"
                 "\"logprobs\":5,\"suffix\":\"s"
                 "\",\"max_tokens\":16,\"stream\":true}"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"x\",\"suffix\":null,\"logprobs\":null,\"echo\":"
                 "null,\"best_of\":nu"
                 "ll}"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"x\",\"n_predict\":5,\"grammar\":\"x\"}"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":\"x\"}"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":\"\"}"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":[\"a\",\"b\"]}"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":[1,2,3]}"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":[[1,2],[3]]}"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":\"x\",\"encoding_format\":\"base64\",\"dimensions\":"
                "256,\"user\":\"u\"}"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":\"x\",\"encoding_format\":\"float\"}"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":\"x\",\"encoding_format\":null,\"dimensions\":null}"},
    {EMBEDDING, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"},
    {EMBEDDING, "{\"model\":\"m\",\"content\":\"x\"}"},
    {EMBEDDING,
     "{\"model\":\"m\",\"input\":\"x\",\"truncate_prompt_tokens\":1,\"embd_normalize\":2}"},
};

static const struct {
    int endpoint;
    const char *body, *param, *message;
} bad[] = {
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", "model",
     "missing key \"model\""},
    {CHAT, "{\"model\":\"m\"}", "messages", "missing key \"messages\""},
    {CHAT, "{}", "model", "missing key \"model\""},
    {CHAT, "[]", "", "expected object, found array of 0"},
    {CHAT, "\"x\"", "", "expected object, found string \"x\""},
    {CHAT, "{\"model\":1,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", "model",
     "expected string, found number 1"},
    {CHAT, "{\"model\":\"\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", "model",
     "must have at least 1 characters, found string \"\""},
    {CHAT, "{\"model\":null,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", "model",
     "expected string, found null"},
    {CHAT, "{\"model\":\"m\",\"messages\":[]}", "messages", "must have at least 1 items, found 0"},
    {CHAT, "{\"model\":\"m\",\"messages\":\"hi\"}", "messages",
     "expected array, found string \"hi\""},
    {CHAT, "{\"model\":\"m\",\"messages\":null}", "messages", "expected array, found null"},
    {CHAT, "{\"model\":\"m\",\"messages\":{\"role\":\"user\"}}", "messages",
     "expected array, found object with 1 keys"},
    {CHAT, "{\"model\":\"m\",\"messages\":[\"hi\"]}", "messages[0]",
     "expected object, found string \"hi\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{}]}", "messages[0].role", "missing key \"role\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"content\":\"x\"}]}", "messages[0].role",
     "missing key \"role\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"usr\",\"content\":\"x\"}]}",
     "messages[0].role",
     "expected one of \"developer\", \"system\", \"user\", \"assistant\", \"tool\", \"function\", "
     "found string \"usr\", nearest: \"user\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"User\",\"content\":\"x\"}]}",
     "messages[0].role",
     "expected one of \"developer\", \"system\", \"user\", \"assistant\", \"tool\", \"function\", "
     "found string \"User\", nearest: \"user\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":1,\"content\":\"x\"}]}", "messages[0].role",
     "expected string, found number 1"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":null,\"content\":\"x\"}]}", "messages[0].role",
     "expected string, found null"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"bot\","
     "\"content\":"
     "\"x\"}]}",
     "messages[1].role",
     "expected one of \"developer\", \"system\", \"user\", \"assistant\", \"tool\", \"function\", "
     "found string \"bot\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", "messages[0].content",
     "missing key \"content\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"system\"}]}", "messages[0].content",
     "missing key \"content\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"tool\","
     "\"tool_cal"
     "l_id\":\"x\"}]}",
     "messages[1].content", "missing key \"content\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":null}]}",
     "messages[0].content", "expected string or array, found null"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":1}]}",
     "messages[0].content", "expected string, array or null, found number 1"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\"}}]}",
     "messages[0].content", "expected string, array or null, found object with 1 keys"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}",
     "messages[0].content[0]", "expected object, found string \"x\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}",
     "messages[0].content[0].type", "missing key \"type\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
     "messages[0].content[0].text", "missing key \"text\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":1}"
     "]}]}",
     "messages[0].content[0].text", "expected string, found number 1"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
     "\"a\"},{\""
     "type\":\"image_url\"}]}]}",
     "messages[0].content[1].image_url", "missing key \"image_url\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
     "\"image_ur"
     "l\":{}}]}]}",
     "messages[0].content[0].image_url.url", "missing key \"url\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
     "\"image_ur"
     "l\":{\"url\":1}}]}]}",
     "messages[0].content[0].image_url.url", "expected string, found number 1"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\","
     "\"input_"
     "audio\":{\"format\":\"wav\"}}]}]}",
     "messages[0].content[0].input_audio.data", "missing key \"data\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"name\":1}]}",
     "messages[0].name", "expected string or null, found number 1"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":{}}]}",
     "messages[0].tool_calls", "expected array or null, found object with 0 keys"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{"
     "\"argumen"
     "ts\":\"{}\"}}]}]}",
     "messages[0].tool_calls[0].function.name", "missing key \"name\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"tool\",\"content\":\"x\",\"tool_call_id\":5}]}",
     "messages[0].tool_call_id", "expected string or null, found number 5"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":2.1}",
     "temperature", "must be at most 2, found number 2.1"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":-0.1}",
     "temperature", "must be at least 0, found number -0.1"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":\"0."
     "5\"}",
     "temperature", "expected number or null, found string \"0.5\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"top_p\":1.5}",
     "top_p", "must be at most 1, found number 1.5"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"n\":0}", "n",
     "must be at least 1, found number 0"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"n\":129}", "n",
     "must be at most 128, found number 129"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"n\":1.5}", "n",
     "expected integer or null, found number 1.5"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":"
     "\"10\"}",
     "max_tokens", "expected integer or null, found string \"10\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":-2}",
     "max_tokens", "must be at least -1, found number -2"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_completion_"
     "tokens\""
     ":1.5}",
     "max_completion_tokens", "expected integer or null, found number 1.5"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stop\":1}",
     "stop", "expected string, array or null, found number 1"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stop\":[\"a\",1]}",
     "stop[1]", "expected string, found number 1"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"seed\":1.5}",
     "seed", "expected integer or null, found number 1.5"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"presence_penalty\":"
     "3}",
     "presence_penalty", "must be at most 2, found number 3"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"frequency_penalty\":"
     "-3}",
     "frequency_penalty", "must be at least -2, found number -3"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logit_bias\":{\"5\":"
     "101}}",
     "logit_bias[5]", "must be at most 100, found number 101"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logit_bias\":{\"a "
     "b\":\"x\""
     "}}",
     "logit_bias[\"a b\"]", "expected boolean or number, found string \"x\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logit_bias\":\"x\"}",
     "logit_bias", "expected array, object or null, found string \"x\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"logprobs\":5}",
     "logprobs", "expected boolean or null, found number 5"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"top_logprobs\":21}",
     "top_logprobs", "must be at most 20, found number 21"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"top_logprobs\":"
     "true}",
     "top_logprobs", "expected integer or null, found true"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":\"true\"}",
     "stream", "expected boolean or null, found string \"true\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":1}",
     "stream", "expected boolean or null, found number 1"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream_options\":"
     "true}",
     "stream_options", "expected object or null, found true"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream_options\":{"
     "\"incl"
     "ude_usage\":\"yes\"}}",
     "stream_options.include_usage", "expected boolean or null, found string \"yes\""},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":{}}",
     "tools", "expected array or null, found object with 0 keys"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{}]}",
     "tools[0].type", "missing key \"type\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":"
     "\"funct"
     "ion\"}]}",
     "tools[0].function", "missing key \"function\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":"
     "\"funct"
     "ion\",\"function\":{}}]}",
     "tools[0].function.name", "missing key \"name\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":"
     "\"funct"
     "ion\",\"function\":{\"name\":\"\"}}]}",
     "tools[0].function.name", "must have at least 1 characters, found string \"\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":"
     "\"funct"
     "ion\",\"function\":{\"name\":\"f\",\"parameters\":\"x\"}}]}",
     "tools[0].function.parameters", "expected object or null, found string \"x\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tool_choice\":"
     "\"always\"}",
     "tool_choice", "expected one of \"none\", \"auto\", \"required\", found string \"always\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tool_choice\":{}}",
     "tool_choice.type", "missing key \"type\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tool_choice\":{"
     "\"type\":\""
     "function\",\"function\":{}}}",
     "tool_choice.function.name", "missing key \"name\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tool_choice\":5}",
     "tool_choice", "expected string, object or null, found number 5"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"functions\":[{}]}",
     "functions[0].name", "missing key \"name\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"function_call\":"
     "\"x\"}",
     "function_call", "expected one of \"none\", \"auto\", found string \"x\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_format\":"
     "\"json"
     "\"}",
     "response_format", "expected object or null, found string \"json\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_format\":{}"
     "}",
     "response_format.type", "missing key \"type\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_format\":{"
     "\"typ"
     "e\":\"json\"}}",
     "response_format.type",
     "expected one of \"text\", \"json_object\", \"json_schema\", \"grammar\", \"regex\", \"struc"
     "tural_tag\", found string \"json\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"response_format\":{"
     "\"typ"
     "e\":\"json_schema\",\"json_schema\":{\"name\":1}}}",
     "response_format.json_schema.name", "expected string, found number 1"},
    {CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"user\":5}",
     "user", "expected string or null, found number 5"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"metadata\":[]}",
     "metadata", "expected object or null, found array of 0"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"metadata\":{\"a\":1}"
     "}",
     "metadata.a", "expected string, found number 1"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"reasoning_effort\":"
     "3}",
     "reasoning_effort", "expected string or null, found number 3"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"modalities\":["
     "\"video\"]}",
     "modalities[0]", "expected one of \"text\", \"audio\", found string \"video\""},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"parallel_tool_"
     "calls\":\""
     "no\"}",
     "parallel_tool_calls", "expected boolean or null, found string \"no\""},
    {COMPLETION, "{\"model\":\"m\",\"max_tokens\":1}", "prompt", "missing key \"prompt\""},
    {COMPLETION, "{\"prompt\":\"x\"}", "model", "missing key \"model\""},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":1}", "prompt",
     "expected string, array or object, found number 1"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":null}", "prompt",
     "expected string, array or object, found null"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":[]}", "prompt",
     "must have at least 1 items, found 0"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":[true]}", "prompt[0]",
     "expected string, array, object or integer, found true"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":[-1]}", "prompt[0]",
     "must be at least 0, found number -1"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":[1.5]}", "prompt[0]",
     "expected string, array, object or integer, found number 1.5"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":[[]]}", "prompt[0]",
     "must have at least 1 items, found 0"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":[[1,null]]}", "prompt[0][1]",
     "expected string or integer, found null"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"x\",\"logprobs\":true}", "logprobs",
     "expected integer or null, found true"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"x\",\"logprobs\":-1}", "logprobs",
     "must be at least 0, found number -1"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"x\",\"best_of\":0}", "best_of",
     "must be at least 1, found number 0"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"x\",\"echo\":\"yes\"}", "echo",
     "expected boolean or null, found string \"yes\""},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"x\",\"suffix\":1}", "suffix",
     "expected string or null, found number 1"},
    {COMPLETION, "{\"model\":\"m\",\"prompt\":\"x\",\"temperature\":3}", "temperature",
     "must be at most 2, found number 3"},
    {EMBEDDING, "{\"model\":\"m\"}", "input", "missing key \"input\""},
    {EMBEDDING, "{\"input\":\"x\"}", "model", "missing key \"model\""},
    {EMBEDDING, "{\"model\":\"m\",\"input\":1}", "input",
     "expected string, array or object, found number 1"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":null}", "input",
     "expected string, array or object, found null"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":[]}", "input", "must have at least 1 items, found 0"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":[\"a\",null]}", "input[1]",
     "expected string, array, object or integer, found null"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":[[1],[]]}", "input[1]",
     "must have at least 1 items, found 0"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":[[-1]]}", "input[0][0]",
     "must be at least 0, found number -1"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":\"x\",\"encoding_format\":\"hex\"}", "encoding_format",
     "expected one of \"float\", \"base64\", null, found string \"hex\""},
    {EMBEDDING, "{\"model\":\"m\",\"input\":\"x\",\"dimensions\":0}", "dimensions",
     "must be at least 1, found number 0"},
    {EMBEDDING, "{\"model\":\"m\",\"input\":\"x\",\"dimensions\":\"8\"}", "dimensions",
     "expected integer or null, found string \"8\""},
    {EMBEDDING, "{\"model\":\"m\",\"input\":\"x\",\"user\":1}", "user",
     "expected string or null, found number 1"},
};

static void test_good(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct schema_error fault = {.message = ""};
        if (check(good[i].endpoint, good[i].body, &fault) != 0) {
            printf("refused: %s\n  %s: %s\n", good[i].body, fault.instance, fault.message);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void test_bad(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct schema_error fault = {.message = ""};
        struct buf param;
        buf_init(&param, 512);
        int rc = check(bad[i].endpoint, bad[i].body, &fault);
        schema_param_of(&param, &fault);
        if (rc != E_SCHEMA || strcmp(buf_cstr(&param), bad[i].param) != 0 ||
            strcmp(fault.message, bad[i].message) != 0) {
            printf("wrong: %d %s\n  rc %d\n  param: %s\n  message: %s\n", bad[i].endpoint,
                   bad[i].body, rc, buf_cstr(&param), fault.message);
            wrong++;
        }
        buf_fini(&param);
    }
    assert_int_equal(wrong, 0);
}

static void test_param(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"/model", "model"},
        {"/messages/0/role", "messages[0].role"},
        {"/messages/10/content/2/image_url/url", "messages[10].content[2].image_url.url"},
        {"/input/0/1", "input[0][1]"},
        {"/0", "0"},
        {"/logit_bias/a b", "logit_bias[\"a b\"]"},
        {"/a~1b/c~0d/~01", "[\"a/b\"][\"c~d\"][\"~1\"]"},
        {"/a/", "a[\"\"]"},
        {"/a/~", "a[\"~\"]"},
        {"/a/\"x\"", "a[\"\\\"x\\\"\"]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out;
        buf_init(&out, 256);
        schema_param(&out, bytes_of(rows[i][0]));
        if (strcmp(buf_cstr(&out), rows[i][1]) != 0)
            fail_msg("%s: expected %s, found %s", rows[i][0], rows[i][1], buf_cstr(&out));
        buf_fini(&out);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_param),
    };
    return cmocka_run_group_tests_name("request schemas", tests, setup, teardown);
}
