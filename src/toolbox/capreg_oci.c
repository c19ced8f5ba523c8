// capreg_oci.c: placeholder
#include "toolbox/capreg_priv.h"
int capreg_oci_new(struct capreg **ret, const struct capreg_args *args, struct err *e)
{
    (void)ret;
    (void)args;
    return err_set(e, E_UNSUPPORTED, "later");
}
