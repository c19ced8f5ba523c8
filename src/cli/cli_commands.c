// cli_commands.c: every command, one line each, in the order of `plexus help`.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"

const struct cli_command *const *cli_commands(void)
{
    static const struct cli_command *const commands[] = {
        &cli_up_command,
        &cli_down_command,
        &cli_ps_command,
        &cli_top_command,
        &cli_models_command,
        &cli_run_command,
        &cli_logs_command,
        &cli_mesh_command,
        &cli_token_command,
        &cli_join_command,
        &cli_nodes_command,
        &cli_resolve_command,
        &cli_bus_command,
        &cli_flow_command,
        &cli_tool_command,
        &cli_mcp_command,
        &cli_worker_command,
        &cli_detect_command,
        &cli_doctor_command,
        &cli_env_command,
        &cli_config_command,
        &cli_key_command,
        &cli_declassify_command,
        &cli_bench_command,
        &cli_version_command,
        &cli_help_command_row,
        &cli_completion_command,
        &cli_man_command,
        NULL,
    };
    return commands;
}
