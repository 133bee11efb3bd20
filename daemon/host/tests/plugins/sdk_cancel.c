/* An SDK that cannot poll: its cancel() writes into a pipe of its own. */
#include <unistd.h>
static int ends[2];
#include "recueil_plugin.h"
static void cancel(rcl_device *device, uint64_t req)
{
    (void)device;
    if (write(ends[1], &req, sizeof req) < 0)
        return;
}
#define DEVICE_CANCEL cancel
#define ON_OPEN (pipe(ends) == 0 ? RCL_OK : RCL_E_FAILED)
#include "plugin.h"
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)params;
    uint64_t cancelled = 0;
    host->event(host, req, RCL_EV_PLACE, 0, NULL);
    if (read(ends[0], &cancelled, sizeof cancelled) != sizeof cancelled)
        return RCL_E_FAILED;
    return cancelled == req ? RCL_E_CANCELLED : RCL_E_FAILED;
}
