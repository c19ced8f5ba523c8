// engine_remote.c: an OpenAI-compatible address that is there already.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/engine_priv.h"
#include "text/url.h"

// A header's value: visible ASCII, so that a key cannot smuggle a second header in.
static bool is_token(const char *key)
{
    for (; *key != '\0'; key++)
        if (*key <= ' ' || *key > '~')
            return false;
    return true;
}

static int plan(const struct engine_spec *s, uint16_t port, struct arena *a,
                struct engine_plan *ret, struct err *e)
{
    struct url url;
    (void)port;
    if (s->url == NULL)
        return err_set(e, E_INVALID, "model %s: engine remote needs the key url", s->model);
    int rc = url_parse(&url, bytes_of(s->url), e);
    if (rc < 0)
        return err_wrap(e, "model %s: url", s->model), rc;
    if (url.query.n > 0)
        return err_set(e, E_INVALID, "model %s: its url must not have a query", s->model);
    if (s->key != NULL && !is_token(s->key)) // its text stays out of every message
        return err_set(e, E_INVALID, "model %s: its key has characters that a header cannot carry",
                       s->model);
    struct bytes base = url.path;
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    if (base.n == 0)
        base = BYTES("/v1"); // "https://host" means its usual place
    *ret = (struct engine_plan){
        .child = false,
        .host = arena_str(a, url.host),
        .port = url.port,
        .tls = url.tls,
        .base_path = arena_str(a, base),
        .health = s->health,
        .auth = s->key != NULL ? arena_fmt(a, "Authorization: Bearer %s\r\n", s->key) : "",
        .upstream_model = s->upstream_model,
        .context = s->context,
        .kind = s->kind,
    };
    if (ret->host == NULL || ret->base_path == NULL || ret->auth == NULL ||
        !engine_keep(a, &ret->health) || !engine_keep(a, &ret->kind) ||
        !engine_keep(a, &ret->upstream_model))
        return err_set(e, E_NOMEM, "model %s", s->model);
    return 0;
}

static bool progress(struct bytes line, const char **ret_phase, double *ret_share)
{
    (void)line;
    (void)ret_phase;
    (void)ret_share;
    return false;
}

static int blame(const struct bytes *lines, int count)
{
    (void)lines;
    (void)count;
    return -1;
}

const struct engine_ops *engine_remote(void)
{
    static const struct engine_ops ops = {
        .name = "remote",
        .what = "An OpenAI-compatible address that is there already.",
        .plan = plan,
        .progress = progress,
        .blame = blame,
    };
    return &ops;
}
