// main.c: what the tool does. The input is a JSON object that fits the schema in capability.json;
// what is answered must fit the one of the output.
#include "guest.h"

EXPORT("run") int run(void)
{
    struct text text;
    uint64_t words = 0, lines = 0, bytes = 0;
    int32_t c, before = '\n';
    if (!text_find(&text, "text"))
        return failure("text is missing");
    for (; (c = text_next(&text)) >= 0; before = c) {
        bool space = c == ' ' || c == '\n' || c == '\t',
             was = before == ' ' || before == '\n' || before == '\t';
        bytes++;
        words += was && !space;
        lines += before == '\n';
    }
    char out[128], *end = out;
    end = put_number(put_text(end, "{\"words\":"), words);
    end = put_number(put_text(end, ",\"lines\":"), lines);
    end = put_number(put_text(end, ",\"bytes\":"), bytes);
    end = put_text(end, "}");
    return answer(out, (size_t)(end - out));
}
