/* Writes past the end of its frame. */
#include "plugin.h"
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)params;
    rcl_frame frame;
    alloc(req, RCL_FRAME_RESULT, &frame);
    memset(frame.data, 1, frame.capacity + 4096);
    return submit(req, &frame);
}
