/* What every plugin of these tests shares: a fingerprint reader of 16 x 8 pixels. Each test plugin defines
 * `capture`, and may define PLUGIN_ID, DEVICE_CANCEL, ON_CREATE, ON_OPEN, GET_INFO, GET_CAPS before including this. */
#include <string.h>

#include "recueil_plugin.h"

#define WIDTH 16
#define HEIGHT 8

static const rcl_host *host;

static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params);

#ifndef PLUGIN_ID
#define PLUGIN_ID "org.example.test"
#endif
#ifndef DEVICE_CANCEL
#define DEVICE_CANCEL NULL
#endif
#ifndef ON_CREATE
#define ON_CREATE RCL_OK
#endif
#ifndef ON_OPEN
#define ON_OPEN RCL_OK
#endif

static int opened_fd = -1;

static void plugin_destroy(rcl_plugin *plugin)
{
    (void)plugin;
    host->log(host, RCL_LOG_INFO, "destroyed");
}

static void device_close(rcl_device *device)
{
    (void)device;
    host->log(host, RCL_LOG_INFO, "closed");
}


static const void *no_plugin_extension(rcl_plugin *plugin, const char *id)
{
    (void)plugin;
    (void)id;
    return NULL;
}

static const void *no_device_extension(rcl_device *device, const char *id)
{
    (void)device;
    (void)id;
    return NULL;
}

static rcl_status get_info(rcl_device *device, rcl_devinfo *out)
{
    (void)device;
    out->modalities = RCL_MOD_FINGERPRINT;
    strcpy(out->vendor, "Exemple");
    strcpy(out->model, "Modele\n1");
    strcpy(out->serial, "SN0001");
    strcpy(out->firmware, "1.2");
    return RCL_OK;
}

static rcl_status get_caps(rcl_device *device, rcl_caps *out)
{
    (void)device;
    out->modalities = RCL_MOD_FINGERPRINT;
    out->max_width = WIDTH;
    out->max_height = HEIGHT;
    out->ppi_milli = 500000;
    out->pixfmts = 1u << RCL_PIX_GRAY8;
    out->flags = RCL_CAP_PREVIEW;
    out->capture_timeout_ms = 5000;
    return RCL_OK;
}

#ifndef GET_INFO
#define GET_INFO get_info
#else
static rcl_status GET_INFO(rcl_device *device, rcl_devinfo *out);
#endif
#ifndef GET_CAPS
#define GET_CAPS get_caps
#else
static rcl_status GET_CAPS(rcl_device *device, rcl_caps *out);
#endif

static rcl_device the_device = {
    .size = sizeof(rcl_device),
    .close = device_close,
    .get_extension = no_device_extension,
    .get_info = GET_INFO,
    .get_caps = GET_CAPS,
    .capture = capture,
    .cancel = DEVICE_CANCEL,
};

static rcl_status plugin_open(rcl_plugin *plugin, const rcl_devref *ref, rcl_device **out)
{
    (void)plugin;
    opened_fd = ref->fd;
    *out = &the_device;
    return ON_OPEN;
}

static rcl_plugin the_plugin = {
    .size = sizeof(rcl_plugin),
    .destroy = plugin_destroy,
    .get_extension = no_plugin_extension,
    .open = plugin_open,
};

static rcl_status create(const rcl_host *given, rcl_plugin **out)
{
    host = given;
    *out = &the_plugin;
    return ON_CREATE;
}

static const rcl_descriptor the_descriptor = {
    .size = sizeof(rcl_descriptor),
    .abi_major = RCL_ABI_MAJOR,
    .abi_minor = RCL_ABI_MINOR,
    .modalities = RCL_MOD_FINGERPRINT,
    .id = PLUGIN_ID,
    .name = "Test",
    .vendor = "Exemple",
    .version = "1.2.3",
    .licence = "MIT",
    .create = create,
};

#ifndef ENTRY
#define ENTRY recueil_plugin_v1
#endif
RCL_EXPORT const rcl_descriptor *ENTRY(uint32_t host_abi_minor);
RCL_EXPORT const rcl_descriptor *ENTRY(uint32_t host_abi_minor)
{
    (void)host_abi_minor;
    return &the_descriptor;
}

static inline rcl_status alloc(uint64_t req, uint32_t kind, rcl_frame *frame)
{
    memset(frame, 0, sizeof *frame);
    frame->size = sizeof *frame;
    frame->pixfmt = RCL_PIX_GRAY8;
    frame->width = WIDTH;
    frame->height = HEIGHT;
    return host->frame_alloc(host, req, kind, frame);
}

static inline rcl_status submit(uint64_t req, rcl_frame *frame)
{
    rcl_meta meta = {.size = sizeof meta, .ppi_x_milli = 500000, .ppi_y_milli = 500000, .t_ns = host->now_ns(host)};
    return host->frame_submit(host, req, frame, &meta);
}

/* A whole result, each pixel `value`. */
static inline rcl_status give_result(uint64_t req, uint8_t value)
{
    rcl_frame frame;
    rcl_status status = alloc(req, RCL_FRAME_RESULT, &frame);
    if (status < 0)
        return status;
    memset(frame.data, value, WIDTH * HEIGHT);
    return submit(req, &frame);
}
