/* The bench's plugin: a reader of 1600 x 1500 grey pixels that does what each byte from its device asks.
 *
 *   r, p  a result or a preview: the time, one memcpy of the picture as a transfer by DMA or USB would end, submit
 *   q     the capture is over; cancelled, if it gave no result
 *
 * The time goes into the frame's description; for previews, whose description does not reach the client, it goes
 * back over the device as 8 bytes, after the frame was submitted. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "recueil_plugin.h"

enum { WIDTH = 1600, HEIGHT = 1500 };

static const rcl_host *host;
static int device_fd = -1;
static uint8_t picture[WIDTH * HEIGHT];

static rcl_status give(uint64_t req, uint32_t kind, uint32_t sequence)
{
    rcl_frame frame;
    rcl_status status;
    do {
        memset(&frame, 0, sizeof frame);
        frame.size = sizeof frame;
        frame.pixfmt = RCL_PIX_GRAY8;
        frame.width = WIDTH;
        frame.height = HEIGHT;
        status = host->frame_alloc(host, req, kind, &frame);
        if (status == RCL_E_AGAIN)
            usleep(50);
    } while (status == RCL_E_AGAIN);
    if (status < 0)
        return status;
    uint64_t now = host->now_ns(host);
    memcpy(frame.data, picture, sizeof picture);
    rcl_meta meta = {.size = sizeof meta,
                     .ppi_x_milli = 500000,
                     .ppi_y_milli = 500000,
                     .sequence = sequence,
                     .t_ns = now};
    status = host->frame_submit(host, req, &frame, &meta);
    if (status >= 0 && kind == RCL_FRAME_PREVIEW && write(device_fd, &now, sizeof now) != sizeof now)
        return RCL_E_GONE;
    return status;
}

static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device;
    /* Pages of its own, as a picture has: what was never written is one page of zeros many times over. */
    for (size_t i = 0; i < sizeof picture; i++)
        picture[i] = (uint8_t)(i ^ i >> 8);
    rcl_status outcome = RCL_E_CANCELLED;
    for (uint32_t sequence = 0;; sequence++) {
        struct pollfd polled[2] = {{.fd = device_fd, .events = POLLIN},
                                   {.fd = host->cancel_fd(host, req), .events = POLLIN}};
        if (poll(polled, 2, (int)params->deadline_ms) <= 0)
            return RCL_E_TIMEOUT;
        if (polled[1].revents)
            return RCL_E_CANCELLED;
        char asked;
        if (read(device_fd, &asked, 1) != 1)
            return RCL_E_GONE;
        if (asked == 'q')
            return outcome;
        rcl_status status = give(req, asked == 'r' ? RCL_FRAME_RESULT : RCL_FRAME_PREVIEW, sequence);
        if (status < 0)
            return status;
        if (asked == 'r')
            outcome = RCL_OK;
    }
}

static void device_close(rcl_device *device)
{
    (void)device;
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
    strcpy(out->vendor, "Bench");
    strcpy(out->model, "Bench");
    strcpy(out->serial, "SN0001");
    strcpy(out->firmware, "1");
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

static rcl_device the_device = {
    .size = sizeof(rcl_device),
    .close = device_close,
    .get_extension = no_device_extension,
    .get_info = get_info,
    .get_caps = get_caps,
    .capture = capture,
};

static rcl_status plugin_open(rcl_plugin *plugin, const rcl_devref *ref, rcl_device **out)
{
    (void)plugin;
    device_fd = ref->fd;
    *out = &the_device;
    return RCL_OK;
}

static void plugin_destroy(rcl_plugin *plugin)
{
    (void)plugin;
}

static const void *no_plugin_extension(rcl_plugin *plugin, const char *id)
{
    (void)plugin;
    (void)id;
    return NULL;
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
    return RCL_OK;
}

static const rcl_descriptor the_descriptor = {
    .size = sizeof(rcl_descriptor),
    .abi_major = RCL_ABI_MAJOR,
    .abi_minor = RCL_ABI_MINOR,
    .modalities = RCL_MOD_FINGERPRINT,
    .id = "fr.recueil.bench",
    .name = "Bench",
    .vendor = "Recueil",
    .version = "1",
    .licence = "MIT",
    .create = create,
};

RCL_EXPORT const rcl_descriptor *recueil_plugin_v1(uint32_t host_abi_minor);
RCL_EXPORT const rcl_descriptor *recueil_plugin_v1(uint32_t host_abi_minor)
{
    (void)host_abi_minor;
    return &the_descriptor;
}
