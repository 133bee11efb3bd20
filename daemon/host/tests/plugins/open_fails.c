#define ON_OPEN (host->fail(host, 0, RCL_E_FIRMWARE, 0x1234, "firmware 0.9 is too old"), RCL_E_FIRMWARE)
#include "plugin.h"
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)req; (void)params;
    return RCL_E_UNSUPPORTED;
}
