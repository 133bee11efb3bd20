/* Asks for a gibibyte, then lives with what it got. */
#include <stdlib.h>
#include "plugin.h"
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)params;
    char *small = malloc(8 << 20), *large = malloc(1u << 30);
    host->log(host, RCL_LOG_INFO, small ? "small: done" : "small: none");
    host->log(host, RCL_LOG_INFO, large ? "large: done" : "large: none");
    return give_result(req, small != NULL);
}
