/* Breaks one rule after the other. */
#include <stdio.h>
#include "plugin.h"
static void say(const char *what, rcl_status status)
{
    char line[64];
    snprintf(line, sizeof line, "%s: %d", what, status);
    host->log(host, RCL_LOG_INFO, line);
}
static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device; (void)params;
    rcl_frame frame, copy;
    rcl_meta small_meta = {.size = 39};
    printf("this must reach nobody\n");
    fprintf(stderr, "this must reach nobody\n");
    fflush(stdout);
    say("null frame", host->frame_alloc(host, req, RCL_FRAME_RESULT, NULL));
    host->log(host, RCL_LOG_INFO, NULL);
    say("wrong request", alloc(req + 1, RCL_FRAME_RESULT, &frame));
    say("wrong kind", alloc(req, 9, &frame));
    memset(&frame, 0, sizeof frame);
    frame.size = 20;
    say("small struct", host->frame_alloc(host, req, RCL_FRAME_RESULT, &frame));
    memset(&frame, 0, sizeof frame);
    frame.size = sizeof frame;
    frame.handle = 77;
    say("unknown frame", submit(req, &frame));
    alloc(req, RCL_FRAME_RESULT, &frame);
    say("second result", alloc(req, RCL_FRAME_RESULT, &copy));
    say("small meta", host->frame_submit(host, req, &frame, &small_meta));
    say("after a refusal", submit(req, &frame));
    alloc(req, RCL_FRAME_RESULT, &frame);
    frame.used = frame.capacity + 1;
    say("too much used", submit(req, &frame));
    say("result", give_result(req, 5));
    say("blob after frame", host->blob_put(host, "kept", "x", 1));
    alloc(req, RCL_FRAME_PREVIEW, &frame);
    copy = frame;
    submit(req, &frame);
    say("submitted twice", submit(req, &copy));
    alloc(req, RCL_FRAME_PREVIEW, &frame); /* never given back */
    for (int i = 0; i < 40; i++)
        host->log(host, RCL_LOG_INFO, "chatter");
    return RCL_OK;
}
