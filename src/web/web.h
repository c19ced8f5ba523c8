// web.h: the console: files embedded in the binary, served with an ETag; views over ctl.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_WEB_WEB_H
#define PLEXUS_WEB_WEB_H

#include "http/http.h"

// true: the path is one of ours and was answered (also 304 and 405); false: not ours.
bool web_handle(struct http_exchange *x);

#endif
