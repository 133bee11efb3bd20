/* One plugin with many faults: the setting `fault` says which one it has. */
#define _GNU_SOURCE
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int has(const char *fault);
#define ON_CREATE (has("create-fails") ? -9999 : has("create-hangs") ? (pause(), RCL_OK) : RCL_OK)
#define ON_OPEN has("open-lies") ? (*out = NULL, RCL_OK) : RCL_OK
#define GET_INFO broken_info
#define GET_CAPS broken_caps

#include "plugin.h"

static int has(const char *fault)
{
    char value[32] = "";
    host->config_get(host, "fault", value, sizeof value);
    return strcmp(value, fault) == 0;
}

static rcl_status broken_info(rcl_device *device, rcl_devinfo *out)
{
    rcl_status status = get_info(device, out);
    if (has("strings")) {
        /* No 0 anywhere, and nothing that is text. */
        memset(out->vendor, 0xff, sizeof out->vendor);
        memset(out->model, 0x1b, sizeof out->model);
        memset(out->serial, '\n', sizeof out->serial);
        memset(out->firmware, 0x80, sizeof out->firmware);
    }
    if (has("info-size"))
        out->size = 0xffffffffu;
    return has("info-status") ? INT_MIN : status;
}

static rcl_status broken_caps(rcl_device *device, rcl_caps *out)
{
    rcl_status status = get_caps(device, out);
    if (has("caps")) {
        out->max_width = 0xffffffffu;
        out->max_height = 0xffffffffu;
        out->modalities = 0xffffffffu;
        out->pixfmts = 0xffffffffu;
    }
    return status;
}

static void *sleeps(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return NULL;
}

/* Calls the host with a request that is over, for as long as the process lives. */
static void *calls_late(void *req)
{
    for (;;) {
        host->event(host, (uint64_t)(uintptr_t)req, RCL_EV_HOLD, 0, NULL);
        usleep(1000);
    }
    return NULL;
}

static void start(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    if (pthread_create(&thread, &small, run, argument) == 0)
        pthread_detach(thread);
    pthread_attr_destroy(&small);
}

/* A result whose description `frame` and `meta` are made wrong by the fault. */
static rcl_status lie(uint64_t req)
{
    rcl_frame frame;
    rcl_fp_segment segment = {.position = 7, .w = 4, .h = 5, .quality = 80};
    rcl_fp_meta fingers = {.h = {.size = sizeof fingers, .type = RCL_TYPE_FP_META},
                           .position = 14,
                           .nsegments = 1,
                           .pad_score = RCL_FP_PAD_SCORE_NONE,
                           .segments = &segment};
    rcl_meta meta = {.size = sizeof meta,
                     .ppi_x_milli = 500000,
                     .ppi_y_milli = 500000,
                     .t_ns = host->now_ns(host),
                     .next = &fingers.h};
    memset(&frame, 0, sizeof frame);
    frame.size = sizeof frame;
    frame.pixfmt = has("format") ? 4242 : RCL_PIX_GRAY8;
    frame.width = has("width") ? 0 : has("huge") ? 32768 : WIDTH;
    frame.height = has("height") ? 0xffffffffu : has("huge") ? 32768 : HEIGHT;
    frame.stride = has("stride") ? 1 : 0;
    rcl_status status = host->frame_alloc(host, req, has("kind") ? 99 : RCL_FRAME_RESULT, &frame);
    if (status < 0)
        return status;
    memset(frame.data, 7, WIDTH * HEIGHT);
    if (has("used"))
        frame.used = 0xffffffffffffffffu;
    if (has("grown"))
        frame.height = 32768;
    if (has("handle"))
        frame.handle = 0xffffffffffffffffu;
    if (has("frame-size"))
        frame.size = 4;
    if (has("meta-size"))
        meta.size = 7;
    if (has("resolution"))
        meta.ppi_x_milli = 0xffffffffu;
    if (has("future"))
        meta.t_ns += 3600ull * 1000000000;
    if (has("past"))
        meta.t_ns = 1;
    if (has("position"))
        fingers.position = 99;
    if (has("segments"))
        fingers.nsegments = 0xffffffffu;
    if (has("no-segments"))
        fingers.segments = NULL;
    if (has("quality"))
        segment.quality = 200;
    if (has("score"))
        fingers.pad_score = 5000;
    if (has("ring"))
        fingers.h.next = &fingers.h;
    if (has("extremes")) {
        segment.x = segment.y = segment.angle_milli_deg = INT_MIN;
        segment.w = segment.h = 0xffffffffu;
        segment.quality_alg = 0xffffffffu;
        fingers.pad_verdict = 77;
        fingers.impression = meta.flags = meta.sequence = meta.page = 0xffffffffu;
    }
    return host->frame_submit(host, req, &frame, has("no-meta") ? NULL : &meta);
}

static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device;
    (void)params;
    rcl_frame frame;
    if (has("exit"))
        exit(3);
    if (has("abort"))
        abort();
    if (has("crash"))
        *(volatile int *)1 = 0;
    if (has("hang"))
        for (;;)
            pause();
    if (has("spin"))
        for (;;)
            ;
    if (has("events"))
        for (;;)
            host->event(host, req, 0xffffffffu, LLONG_MIN, "x");
    if (has("lines"))
        for (;;)
            host->log(host, 99, "\x1b[2J\xff a line");
    if (has("complaints"))
        for (;;)
            host->event(host, req + 1, 1, 1, NULL);
    if (has("output"))
        for (int i = 0; i < 20000; i++) {
            fputs("this must reach nobody, and hold nobody up\n", stdout);
            fputs("this must reach nobody, and hold nobody up\n", stderr);
        }
    if (has("fork"))
        for (int i = 0; i < 100; i++)
            if (fork() == 0)
                for (;;)
                    pause();
    if (has("threads"))
        for (int i = 0; i < 100; i++)
            start(sleeps, NULL);
    if (has("late"))
        start(calls_late, (void *)(uintptr_t)req);
    if (has("close"))
        for (int fd = 0; fd < 64; fd++)
            close(fd);
    if (has("forge"))
        for (int fd = 3; fd < 64; fd++)
            if (fd != opened_fd && write(fd, "{\"type\":\"ready\"}", 16) < 0)
                continue;
    if (has("words")) {
        static char endless[1 << 20];
        memset(endless, 0xfe, sizeof endless - 1);
        host->log(host, INT_MIN, endless);
        host->event(host, req, 0x80000000u, LLONG_MAX, endless);
        host->fail(host, req, INT_MIN, LLONG_MIN, endless);
        return INT_MIN;
    }
    if (has("early"))
        host->event(host, 0, RCL_EV_HOLD, 0, NULL);
    if (has("not-mine")) {
        memset(&frame, 0, sizeof frame);
        frame.size = sizeof frame;
        return host->frame_submit(host, req, &frame, NULL);
    }
    if (has("null"))
        return host->frame_alloc(host, req, RCL_FRAME_RESULT, NULL);
    if (has("stores")) {
        rcl_status stored = host->blob_put(host, "finger", "pixels", 6);
        if (stored < 0)
            return stored;
    }
    if (has("nothing"))
        return RCL_OK;
    if (has("keeps"))
        return alloc(req, RCL_FRAME_RESULT, &frame) < 0 ? RCL_E_FAILED : RCL_OK;
    if (has("after-cancel")) {
        struct pollfd cancelled = {.fd = host->cancel_fd(host, req), .events = POLLIN};
        poll(&cancelled, 1, -1);
        give_result(req, 7);
        return RCL_OK;
    }
    if (has("ignores-cancel"))
        for (;;)
            pause();
    if (has("twice")) {
        rcl_status status = alloc(req, RCL_FRAME_RESULT, &frame);
        rcl_frame copy = frame;
        memset(frame.data, 7, WIDTH * HEIGHT);
        status = submit(req, &frame);
        submit(req, &copy);
        host->frame_drop(host, &copy);
        return status;
    }
    return lie(req);
}
