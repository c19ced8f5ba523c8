// config.h: plexus.yaml: one file, one JSON Schema (config/schema.json is the data; help, docs,
// completion and defaults come from it), checked whole before anything of it is used.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CONFIG_CONFIG_H
#define PLEXUS_CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "text/json.h"

// A secret has a type of its own that no logger or printer takes. Read only where it is used.
struct secret {
    const char *value_; // use secret_reveal
    const char *from;   // "env CLOUD_KEY" or "file /run/key": may be shown
};
const char *secret_reveal(const struct secret *s); // NULL: not set

struct config_model {
    const char *name;
    const char *const *aliases; // NULL-terminated
    const char *engine;         // "llama.cpp", "command", "remote", ...
    const char *kind;           // NULL: found out
    const char *file, *url, *health, *upstream_model, *program;
    const char *source;         // where it comes from, for people; may be NULL
    const char *const *command; // NULL or argv
    const char *const *args;    // NULL or argv
    const char *const *env;     // NULL or "K=V"
    const char *const
        *prepare; // NULL or argv: makes the file when it is absent; its output lines are progress
    struct secret key;
    uint64_t context, memory_bytes, limit_memory_bytes, limit_files;
    double limit_cpus;
    int nice;
    uint32_t slots, threads, queue_max, restarts_max;
    int64_t idle_ms, load_timeout_ms, drain_ms, first_byte_ms, silence_ms, restart_pause_ms,
        failed_pause_ms;
    bool pinned, preload, expose;
    const char *tier; // "edge", "node", "cloud"; NULL: not said
    const char *role; // that a node must have; NULL: any
    const char *label, *clearance; // texts of trust/label.h; NULL: not said
    uint32_t replicas_min, replicas_max; // 0: not said
    uint64_t price_in, price_out; // of one token, in 10^-12 of config.currency; 0: none
    uint64_t fingerprint;       // of everything that needs a restart when changed
};

struct config_door { // one listener
    const char *address;        // "127.0.0.1:8000", "unix:/path"
    bool keys_required;         // default: not loopback
    const char *tls_cert, *tls_key, *tls_client_ca; // NULL: plain
    uint32_t mode;              // unix socket
};

// Labels are texts of trust/label.h, seen to be whole.
struct config_subject { // of the bus: the first that fits
    const char *subject, *clearance;
};
struct config_declassifier {
    const char *name, *key, *clearance; // key: Ed25519, base64url
};

struct config_flow_secret {
    const char *name;
    struct secret value;
};
struct config_flow_rate {
    const char *queue;
    double per_s;
};
struct config_flow_host {
    const char *name, *address; // "petstore.example", "127.0.0.1:9090"
};
struct config_flows {
    const char *engine;               // "embedded", "temporal", "off"
    const char *journal;              // "sqlite", "postgres"
    const char *url, *user;           // of the journal, or NULL
    struct secret password;
    const char *const *queues;        // none: by the node's profile
    uint32_t activities;
    int64_t retention_ms;             // TIME_NEVER: kept
    const char *documents;            // folder, or NULL
    bool promote;                     // what is registered, when it passes its cases
    const struct config_flow_secret *secrets;
    size_t secret_count;
    const struct config_flow_rate *rates;
    size_t rate_count;
    const struct config_flow_host *hosts;
    size_t host_count;
    const char *temporal;             // address, or NULL
    const char *temporal_namespace, *temporal_queue;
    const char *temporal_deployment; // or NULL
    unsigned temporal_retries;       // of activities, in the worker
    const char *temporal_ca, *temporal_cert, *temporal_cert_key; // or NULL
    struct secret temporal_key;
    bool temporal_tls;
};

struct config_folder { // that tools may reach
    const char *path;
    bool write;
};
struct config_tools {
    const struct config_folder *folders;
    size_t folder_count;
    bool bash, network, require; // require: no sandbox, no programs
    uint64_t memory_bytes;
    int64_t time_ms;
    const char *const *allow;
    const char *registry, *serve; // or NULL
    struct secret registry_key;
    const char *const *publishers;
};
struct config_mcp_issuer {
    const char *issuer, *keys, *audience; // keys: a file; audience: or NULL
};
struct config_mcp_env {
    const char *name;
    struct secret value;
};
struct config_mcp_oauth {
    bool on;
    const char *client_id, *scope; // or NULL
    struct secret client_secret;
};
struct config_mcp_server {
    const char *name;
    const char *const *command; // none: url
    const char *url;            // NULL: command
    struct secret key;
    struct config_mcp_oauth oauth;
    const struct config_mcp_env *env;
    size_t env_count;
    const struct config_folder *folders;
    size_t folder_count;
    bool network;
    const char *const *allow;
    const char *clearance, *model; // model: or NULL
    int64_t time_ms;
};
struct config_mcp {
    bool serve;
    const struct config_mcp_issuer *issuers;
    size_t issuer_count;
    const char *gateway; // a node's name, or NULL
    const struct config_mcp_server *servers;
    size_t server_count;
};

struct config {
    struct arena *arena;        // owns everything here
    const char *path;           // file it came from; NULL: made from what was found
    struct json_doc *doc;       // the checked document with defaults filled in
    const char *node_name, *context,
        *environment; // environment: "dev", "staging", "prod": first part of context
    const char *const *roles;
    const char *profile;        // "auto", "server", "edge"
    const char *mesh_listen;    // address, or NULL
    const char *const *mesh_advertise;
    int64_t beat_ms, suspect_ms, dead_ms, svid_ttl_ms;
    const char **parts; // of `contexts` that hold here, the most specific last; NULL: none asked
    const char *bus_engine;     // "embedded", "nats", "redis"
    const char *bus_url, *bus_user, *bus_ca; // or NULL
    struct secret bus_password, bus_token;
    uint64_t bus_keep_msgs, bus_keep_bytes;
    int64_t bus_keep_ms;
    const char *registry_url; // of NATS; NULL: the direct links alone
    bool registry_of_bus; // url is the bus's, and so are account and certificates
    const char *registry_user, *registry_ca; // or NULL
    struct secret registry_password, registry_token;
    int64_t registry_ttl_ms;
    struct config_flows flows;
    struct config_tools tools;
    struct config_mcp mcp;
    const char *data;           // absolute folder
    struct config_door *doors;
    size_t door_count;
    const char *const *hosts;   // allowed Host names beside loopback and the listener's own
    const char *const *origins; // allowed CORS origins (none by default)
    const char *label_default, *label_cloud;
    const struct config_subject *subjects;
    size_t subject_count;
    const struct config_declassifier *declassifiers;
    size_t declassifier_count;
    bool labels_given; // the section stands in the file
    const char *alert_webhook; // NULL: none
    struct secret alert_secret;
    const char *currency;
    const char *const *alert_on; // "security", "node", "model", "certificate"
    struct config_model *models;
    size_t model_count;
    uint64_t
        memory_bytes; // budget for models; 0: chosen from the machine (80 % of effective memory)
    uint64_t body_bytes, budget_bytes, head_bytes, connections_max;
    int64_t head_ms, body_ms, keepalive_ms, write_ms, drain_ms;
    uint32_t queue_max;
    const char *log_level, *access_log; // access_log: path below data, or "off"
    uint64_t log_rotate_bytes;
    int64_t access_log_flush_ms;
    uint64_t access_log_batch_bytes;
};

// Where a finding is: "plexus.yaml:12:5: models.coder.idel: unknown key; nearest: idle".
// E_CONFIG with all findings (up to 20), one a line, in e->text (as many whole lines as fit, then
// "... and N more"); E_NOTFOUND, E_PERM, E_TOOBIG (a file over 1 MiB), E_PARSE (also with its
// place). Relative paths of the result are below the file's folder (base_dir).
int config_load(struct config **ret, const char *path, struct err *e);
int config_parse(struct config **ret, const char *name, struct bytes yaml, const char *base_dir,
                 struct err *e);
// As config_load; all findings whole, one a line, also go to *ret_findings.
int config_load_all(struct config **ret, const char *path, struct buf *ret_findings, struct err *e);
void config_free(struct config *c); // wipes its secrets

// A config from what is on this machine: GGUF files in ./models, the Hugging Face, llama.cpp and
// Ollama caches. *ret_yaml gets its text (with comments that say where each was found).
struct config_found {
    const char *const *folders; // NULL: the usual ones
    const char *cwd, *home;
};
// 0 also when there are none: the text then has no models and says where it looked.
int config_discover(struct buf *ret_yaml, const struct config_found *where, struct err *e);

struct bytes config_schema(void); // the JSON Schema's text
int config_show(struct buf *out, const struct config *c,
                bool json); // effective, secrets shown as "from"
// What differs between two configs, for reload: models to add, change, remove; doors; other keys.
struct config_change {
    const char *what; // "model", "door", "limits", "node", "log"
    const char *name;
    const char *action; // "add", "change", "remove", "restart-needed"
};
// Returns their number, which may be over max (only max are filled in). what: also "listen",
// "data", "memory", "bus", "flows"; name: the model, the door's address, or the key
// ("limits.body"). Texts live as long as both configs. A model with another fingerprint must be
// restarted, else it changes in place.
size_t config_diff(const struct config *from, const struct config *to, struct config_change *ret,
                   size_t max);

#endif
