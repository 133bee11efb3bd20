/* Ignores everything, and says so through the frame it gives first. */
#include <unistd.h>
#include "plugin.h"
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)params;
    give_result(req, 1);
    for (;;)
        pause();
}
