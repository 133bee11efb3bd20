/* Gives its result, then neither returns nor looks at anything. */
#include <unistd.h>
#include "plugin.h"
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)params;
    rcl_status status = give_result(req, 1);
    while (status == RCL_OK)
        pause();
    return status;
}
