// template.c: the projects that `plexus tool new` begins with.
// SPDX-License-Identifier: Apache-2.0
#include "tool/tool_priv.h"

const struct embed_file *tool_templates(size_t *ret_count)
{
    return embed_tool_templates(ret_count);
}
