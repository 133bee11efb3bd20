/* Needs a function that no library has. */
#include "plugin.h"
extern int sdk_function_of_a_later_version(void);
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)req; (void)params;
    return sdk_function_of_a_later_version();
}
