#define PLUGIN_ID "org.example.other"
#include "plugin.h"
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)req; (void)params;
    return RCL_E_UNSUPPORTED;
}
