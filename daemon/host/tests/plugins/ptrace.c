/* Does what only an intruder does. */
#include <sys/ptrace.h>
#include "plugin.h"
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)params;
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    return give_result(req, 1);
}
