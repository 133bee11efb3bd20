#include "plugin.h"
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)params;
    volatile int *nowhere = (volatile int *)8;
    *nowhere = (int)req;
    return RCL_OK;
}
