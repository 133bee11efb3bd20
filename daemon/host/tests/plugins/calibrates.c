/* Stores what it measured when it was opened: one small value, and one that takes several messages. */
#define ON_OPEN measure()
#include "recueil_plugin.h"

static rcl_status measure(void);

#include "plugin.h"

static rcl_status measure(void)
{
    static uint8_t table[60000];
    memset(table, 0xab, sizeof table);
    rcl_status status = host->blob_put(host, "flat", "\x01\x02", 2);
    return status < 0 ? status : host->blob_put(host, "table", table, sizeof table);
}

static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device;
    (void)params;
    return give_result(req, 1);
}
