// expr_child.h: the main of `plexus _expr`, a helper that plexus starts of itself.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_EXPR_CHILD_H
#define PLEXUS_ADAPTERS_EXPR_CHILD_H

int expr_child_main(int argc, char **argv); // argv[2]: memory limit in bytes

#endif
