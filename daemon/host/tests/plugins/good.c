/* Three previews, guidance, then a slap of two fingers; answers to cancel and to configuration. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "plugin.h"

static void report_settings(void)
{
    char value[16], line[64];
    unsigned char dark[4] = {0};
    rcl_status length = host->config_get(host, "greeting", value, sizeof value);
    snprintf(line, sizeof line, "config %d %s", length, value);
    host->log(host, RCL_LOG_INFO, line);
    snprintf(line, sizeof line, "config short %d missing %d", host->config_get(host, "greeting", value, 2),
             host->config_get(host, "nothing", value, sizeof value));
    host->log(host, RCL_LOG_INFO, line);
    int64_t size = host->blob_get(host, "dark", dark, sizeof dark);
    snprintf(line, sizeof line, "blob %d %02x%02x", (int)size, dark[0], dark[1]);
    host->log(host, RCL_LOG_INFO, line);
}

static rcl_status preview(uint64_t req, uint32_t sequence)
{
    rcl_frame frame;
    rcl_meta meta = {.size = sizeof meta, .sequence = sequence};
    rcl_status status = alloc(req, RCL_FRAME_PREVIEW, &frame);
    if (status < 0)
        return status;
    memset(frame.data, (int)(10 + sequence), WIDTH * HEIGHT);
    return host->frame_submit(host, req, &frame, &meta);
}

static rcl_status result(uint64_t req)
{
    rcl_frame frame;
    rcl_status status = alloc(req, RCL_FRAME_RESULT, &frame);
    if (status < 0)
        return status;
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        frame.data[i] = (uint8_t)i;
    rcl_fp_segment segments[2] = {
        {.position = 7, .x = 1, .y = 2, .w = 4, .h = 5, .angle_milli_deg = -1500, .quality = 80},
        {.position = 8, .x = 8, .y = 2, .w = 4, .h = 5, .quality = RCL_FP_QUALITY_NONE},
    };
    rcl_fp_meta fingers = {.h = {.size = sizeof fingers, .type = RCL_TYPE_FP_META},
                           .position = 14,
                           .nsegments = 2,
                           .pad_score = 12,
                           .pad_verdict = RCL_FP_PAD_GENUINE,
                           .segments = segments};
    rcl_struct stranger = {.size = sizeof stranger, .type = 0x7777, .next = &fingers.h};
    rcl_meta meta = {.size = sizeof meta, .ppi_x_milli = 500000, .ppi_y_milli = 500000, .next = &stranger};
    return host->frame_submit(host, req, &frame, &meta);
}

static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device;
    const rcl_fp_params *fingers = (const rcl_fp_params *)params->next;
    if (fingers == NULL || fingers->h.type != RCL_TYPE_FP_PARAMS || fingers->positions != 1u << 14) {
        host->fail(host, req, RCL_E_INVALID, 42, "not\nasked for the left hand");
        return RCL_E_INVALID;
    }
    report_settings();
    host->event(host, req, RCL_EV_PLACE, 14, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        rcl_status status = preview(req, i);
        if (status < 0 && status != RCL_E_AGAIN)
            return status;
    }
    /* The device is a socket here; a byte from it says that a hand is there. */
    struct pollfd polled[2] = {{.fd = opened_fd, .events = POLLIN},
                               {.fd = host->cancel_fd(host, req), .events = POLLIN}};
    if (poll(polled, 2, (int)params->deadline_ms) == 0)
        return RCL_E_TIMEOUT;
    if (polled[1].revents)
        return RCL_E_CANCELLED;
    char byte;
    if (read(opened_fd, &byte, 1) != 1)
        return RCL_E_GONE;
    return result(req);
}
